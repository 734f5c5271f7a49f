import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { createRandom } from './random.ts';
import { type Part, parts, Strokes } from './tunnel-strokes.ts';
import type { Left, TunnelWorld } from './tunnel-world.ts';

export interface TunnelRun {
  readonly seed: number;
  /** Asked before each session. */
  readonly goOn: (sessions: number) => boolean;
  /** Sessions at the same time. */
  readonly atOnce: number;
}

export interface TunnelOutcome {
  readonly sessions: number;
  readonly strokes: number;
  /** Connections that hostile parts had opened, by part. */
  readonly opened: Readonly<Record<Part, number>>;
  /** Sessions that were ended by what is tested. */
  readonly cut: number;
  /** Of the connection that must go on. */
  readonly exchanges: number;
  readonly slowestExchangeMs: number;
}

const mostStrokes = 40;
/** For one exchange of the connection that must go on; it is far more than any fault of others may cost it. */
const exchangeTimeoutMs = 15_000;

/**
 * Sends random packets into a server and an agent, from every side, while another connection through both must carry its
 * bytes. @throws Error when that one breaks or stalls, or when something is left of the sessions
 */
export async function fuzzTunnel(world: TunnelWorld, run: TunnelRun): Promise<TunnelOutcome> {
  const canary = new Canary(await world.openCanary(), run.seed);
  const singing = canary.sing();
  const outcome = { sessions: 0, strokes: 0, opened: { frontend: 0, agent: 0, server: 0 }, cut: 0 };
  const work = async () => {
    while (canary.failure === undefined && run.goOn(outcome.sessions)) {
      outcome.sessions += 1;
      const seed = (run.seed * 1_000_003 + outcome.sessions) >>> 0;
      const { part, opened, strokes, wasCut } = await playSession(world, seed);
      outcome.opened[part] += opened;
      outcome.strokes += strokes;
      if (wasCut) outcome.cut += 1;
    }
  };
  try {
    await Promise.all(Array.from({ length: run.atOnce }, work));
    await expectLeft(world, oneConnection);
  } finally {
    canary.stop();
    await singing;
  }
  if (canary.failure !== undefined) throw canary.failure;
  canary.end();
  await expectLeft(world, nothing);
  return { ...outcome, exchanges: canary.exchanges, slowestExchangeMs: canary.slowestMs };
}

async function playSession(world: TunnelWorld, seed: number) {
  const strokes = new Strokes(seed, world.addresses);
  const part = strokes.of(parts);
  const hostile = await world.open(part);
  let count = 0;
  if (part !== 'agent') {
    hostile.do(strokes.first());
    // Connecting takes a moment; without one there is little to do wrong.
    await sleep(strokes.random.below(10));
  }
  for (; count < mostStrokes && !hostile.isOver; count += 1) {
    const stroke = strokes.next(part, hostile.live);
    hostile.do(stroke);
    // Sometimes an answer is waited for, mostly not.
    if (stroke.type === 'pause') await sleep(strokes.random.below(5));
    else if (strokes.random.below(3) === 0) await new Promise(setImmediate);
  }
  const { opened, wasCut } = hostile;
  hostile.destroy();
  return { part, opened, wasCut, strokes: count };
}

const nothing: Left = { pending: 0, established: 0, frontends: 0, endpoints: 0, echoes: 0, heldBytes: 0 };
const oneConnection: Left = { ...nothing, established: 1, frontends: 1, endpoints: 1, echoes: 1 };

async function expectLeft(world: TunnelWorld, expected: Left): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const left = await world.left();
    if (JSON.stringify(left) === JSON.stringify(expected)) return;
    if (performance.now() > deadline)
      throw new Error(`left behind: ${JSON.stringify(left)} instead of ${JSON.stringify(expected)}`);
    await sleep(20);
  }
}

/** Sends random bytes to an echo, one piece after the other, and compares what comes back. */
class Canary {
  exchanges = 0;
  slowestMs = 0;
  failure: Error | undefined;
  readonly #socket: Duplex;
  readonly #random: ReturnType<typeof createRandom>;
  #stopped = false;

  constructor(socket: Duplex, seed: number) {
    this.#socket = socket;
    this.#random = createRandom(seed);
    socket.on('error', (error) => (this.failure ??= error));
    socket.on('close', () => {
      if (!this.#stopped) this.failure ??= new Error('the connection that must go on was closed');
    });
  }

  async sing(): Promise<void> {
    while (!this.#stopped && this.failure === undefined) {
      const began = performance.now();
      await this.#exchange().catch((error: unknown) => {
        this.failure ??= error instanceof Error ? error : new Error(String(error));
      });
      this.slowestMs = Math.max(this.slowestMs, performance.now() - began);
      this.exchanges += 1;
      await sleep(5);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  end(): void {
    this.#socket.destroy();
  }

  async #exchange(): Promise<void> {
    const sent = Buffer.alloc(1 + this.#random.below(20_000), this.#random.below(256));
    sent.writeUInt8(this.exchanges % 256, 0);
    const deadline = performance.now() + exchangeTimeoutMs;
    this.#socket.write(sent);
    const chunks: Buffer[] = [];
    for (let got = 0; got < sent.length;) {
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk) {
        chunks.push(chunk);
        got += chunk.length;
      } else await sleep(1);
      if (this.failure) throw this.failure;
      if (performance.now() > deadline) throw new Error(`an exchange took ${exchangeTimeoutMs} ms`);
    }
    if (!Buffer.concat(chunks).equals(sent)) throw new Error('the echo is of something else');
  }
}
