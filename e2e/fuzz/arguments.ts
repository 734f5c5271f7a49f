import { parseArgs } from 'node:util';

export interface FuzzArguments {
  readonly seed: number;
  readonly seconds: number;
}

/** Of `npm run fuzz`; throws for what is no number. Without a seed the time gives one. */
export function readArguments(args: readonly string[], now: number): FuzzArguments {
  const { values } = parseArgs({
    args: [...args],
    options: { seed: { type: 'string' }, seconds: { type: 'string' } },
  });
  const number = (name: 'seed' | 'seconds', absent: number): number => {
    const text = values[name];
    if (text === undefined) return absent;
    if (!/^\d{1,10}$/.test(text)) throw new Error(`--${name} must be a number`);
    return Number(text);
  };
  return { seed: number('seed', now % 2 ** 32), seconds: number('seconds', Infinity) };
}
