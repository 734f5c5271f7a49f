import type { Writable } from 'node:stream';

const partsOfASecond = 100;

/**
 * Sends each watch one event a second: `<monotonic nanoseconds>` in an object, padded to what an event of a Lease takes.
 * The watches are spread evenly over the second.
 */
export function startEvents(): (watch: Writable) => void {
  const parts = Array.from({ length: partsOfASecond }, () => new Set<Writable>());
  let next = 0;
  let turn = 0;
  setInterval(() => {
    for (const watch of parts[turn] ?? []) watch.write(event(process.hrtime.bigint()));
    turn = (turn + 1) % partsOfASecond;
  }, 1000 / partsOfASecond).unref();
  return (watch) => {
    const part = parts[next];
    next = (next + 1) % partsOfASecond;
    part?.add(watch);
    watch.once('close', () => part?.delete(watch));
  };
}

const padding = 'x'.repeat(700);

function event(sent: bigint): string {
  return `{"type":"MODIFIED","object":{"kind":"Lease","sent":"${sent}","padding":"${padding}"}}\n`;
}

/** When the last event of a part of a watch's body was sent (monotonic nanoseconds), undefined when no event begins in it. */
export function sentAt(part: Buffer): bigint | undefined {
  const from = part.lastIndexOf('"sent":"');
  if (from === -1) return undefined;
  const [, digits] = /^"sent":"(\d+)"/.exec(part.toString('latin1', from, from + 40)) ?? [];
  return digits === undefined ? undefined : BigInt(digits);
}
