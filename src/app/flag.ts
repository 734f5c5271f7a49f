import { parseInteger } from './go-values.ts';

/** One flag of the command line. */
export interface Flag {
  readonly group: string;
  readonly help: string;
  readonly value: string;
  /** As it would be written on the command line; undefined: not set. */
  readonly default?: string;
  readonly parse: (text: string) => unknown;
  /** What stands between the values of a flag that is given more than once; without it the last value counts. */
  readonly joinedBy?: string;
  readonly hidden?: boolean;
  readonly short?: string;
}

/** Any text. */
export const text = (value: string) => value;
/** Charts write `--audit-log-path=` for none. */
export const file = (path: string) => path || undefined;
export const present = (value: string) => {
  if (value === '') throw new Error('it must not be empty');
  return value;
};
export const only = (value: string, why: string) => (given: string) => {
  if (given !== value) throw new Error(`${JSON.stringify(given)} is not implemented, only ${value}: ${why}`);
  return given;
};
export const integer = (min: number, max: number) => (value: string) => parseInteger(value, { min, max });
export const limit = integer(0, 1_000_000);
