import { lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';

type Answer = Parameters<LookupFunction>[2];

/**
 * Joins lookups of one name that are under way at the same time: Node resolves names on four threads, which one name that
 * nobody answers for would otherwise take up with all the dials that ask for it.
 */
export function createSharedLookup(lookup: LookupFunction = systemLookup): LookupFunction {
  const running = new Map<string, Answer[]>();
  return (host, options, done) => {
    const key = JSON.stringify([host, options.all, options.family, options.hints, options.order]);
    const waiting = running.get(key);
    if (waiting) {
      waiting.push(done);
      return;
    }
    const answers = [done];
    running.set(key, answers);
    lookup(host, options, (...result) => {
      running.delete(key);
      for (const answer of answers) answer(...result);
    });
  };
}
