import { parseArgs } from 'node:util';

/** Of `npm run soak`: how long the load runs. Throws for what is no number of minutes, or less than two. */
export function readArguments(args: readonly string[]): { readonly minutes: number } {
  const { values } = parseArgs({ args: [...args], options: { minutes: { type: 'string', default: '30' } } });
  if (!/^\d{1,5}$/.test(values.minutes) || Number(values.minutes) < 2)
    throw new Error('--minutes must be a number, 2 or more');
  return { minutes: Number(values.minutes) };
}
