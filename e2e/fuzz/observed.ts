import type { HeaderPair } from './fuzz-case.ts';

/** What a caller got back. */
export interface Answer {
  /** 0: none. */
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly body: Buffer;
  /** Whether its end was seen. */
  readonly whole: boolean;
}

/** What came to the target. */
export interface Arrival {
  readonly protocol: string;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly HeaderPair[];
  readonly body: Buffer;
  readonly whole: boolean;
}

/** One way of a case. */
export interface Observed {
  readonly arrivals: readonly Arrival[];
  readonly answer: Answer;
  /** Answers behind the first one. */
  readonly more: number;
  /** The client library would not send it. */
  readonly unsent?: boolean;
}

export const noAnswer: Answer = { status: 0, headers: [], body: Buffer.alloc(0), whole: false };

/** Raw lines as pairs. */
export function pairsOf(lines: readonly string[]): HeaderPair[] {
  const pairs: HeaderPair[] = [];
  for (let i = 0; i + 1 < lines.length; i += 2) pairs.push([lines[i] ?? '', lines[i + 1] ?? '']);
  return pairs;
}
