import { parseBoolean, parseDuration, parseInteger } from './go-values.ts';

// Values in the forms that the Go tunnel's programs take. Each throws an Error that says what is wrong with the text.

/** Ports of the Go programs are neither reserved nor ephemeral; here 0 is a free one, too. */
export function parsePort(text: string): number {
  if (text === '0') return 0;
  try {
    return parseInteger(text, { min: 1024, max: 49_151 });
  } catch {
    throw new Error(`${JSON.stringify(text)} is not a port from 1024 to 49151, nor 0 for a free one`);
  }
}

/** A timer of Node's that is told to wait for longer fires at once. */
const longestTimerMs = 2 ** 31 - 1;

/** A duration that a timer waits, in milliseconds: 24 days at most. */
export const parseTimer = (text: string) => Math.min(parseDuration(text), longestTimerMs);

/** A switch that may be off. */
export const onlyOff = (why: string) => (text: string) => {
  if (parseBoolean(text)) throw new Error(`it is not implemented by this version: ${why}`);
  return false;
};

/** Any text; empty is as not given. */
export const optional = (value: string) => value || undefined;
