import { setTimeout as sleep } from 'node:timers/promises';

import { proxyPath } from '../scenarios/registration-world.ts';
import { compare } from './compare.ts';
import { CLUSTER_TOKEN } from './expected-headers.ts';
import { type FuzzCase, type HeaderPair, type Protocol, targetOf } from './fuzz-case.ts';
import { generateCase } from './generate.ts';
import { type Peer, type Sender, createHttp1Sender } from './http1-sender.ts';
import { createHttp2Sender } from './http2-sender.ts';
import type { Arrival, Observed } from './observed.ts';
import { createRandom } from './random.ts';
import { ANSWER_HEADER, CASE_HEADER, type Recorder } from './recorder.ts';
import { shrink } from './shrink.ts';

export interface FuzzerOptions {
  readonly gateway: Peer;
  /** The caller's at the gateway. */
  readonly token: string;
  readonly recorders: Readonly<Record<Protocol, Recorder>>;
  /** Names of the clusters that lead to the recorders. */
  readonly clusters: Readonly<Record<Protocol, string>>;
}

export interface Difference {
  /** The case, made as small as it could be. */
  readonly fuzzCase: FuzzCase;
  readonly differences: readonly string[];
}

export interface RunOptions {
  readonly seed: number;
  /** Asked before each case. */
  readonly goOn: (cases: number) => boolean;
  readonly onDifference: (difference: Difference) => void;
  /** After each of so many cases. */
  readonly batch: number;
  readonly onBatch?: () => Promise<void>;
}

export interface Fuzzer {
  /** Sends a case both ways; gives what differed. */
  check(fuzzCase: FuzzCase): Promise<string[]>;
  /** Gives the number of cases, and of those that arrived. */
  run(options: RunOptions): Promise<{ cases: number; arrived: number }>;
  close(): void;
}

export function createFuzzer({ gateway, token, recorders, clusters }: FuzzerOptions): Fuzzer {
  const senders = (peer: Peer): Record<Protocol, Sender> => ({
    'http/1.1': createHttp1Sender(peer),
    h2: createHttp2Sender(peer),
  });
  const doors = {
    gateway: senders(gateway),
    'http/1.1': senders(recorders['http/1.1'].target),
    h2: senders(recorders.h2.target),
  };
  let number = 0;
  let arrived = 0;
  const observe = async (fuzzCase: FuzzCase, way: 'direct' | 'through'): Promise<Observed> => {
    number += 1;
    const recorder = recorders[fuzzCase.target];
    const isDirect = way === 'direct';
    // A target that speaks HTTP/1.1 alone can be asked in that only: the same request.
    const protocol = isDirect && fuzzCase.target === 'http/1.1' ? fuzzCase.target : fuzzCase.protocol;
    const own: HeaderPair[] = [
      [CASE_HEADER, String(number)],
      [ANSWER_HEADER, String(fuzzCase.answer)],
      ['authorization', `Bearer ${isDirect ? CLUSTER_TOKEN : token}`],
    ];
    const path = targetOf(fuzzCase);
    const sent = await doors[isDirect ? fuzzCase.target : 'gateway'][protocol].send(fuzzCase, {
      ...{ own, host: 'fuzz.test' },
      target: isDirect ? path : proxyPath(clusters[fuzzCase.target], path),
    });
    if (fuzzCase.framing !== 'plain' && fuzzCase.framing !== 'chunked') await sleep(10);
    const arrivals = await recorder.take();
    return { ...sent, arrivals: arrivals.filter((arrival) => isOf(arrival, number)) };
  };
  const check = async (fuzzCase: FuzzCase): Promise<string[]> => {
    const direct = await observe(fuzzCase, 'direct');
    const through = await observe(fuzzCase, 'through');
    if (direct.unsent === true || through.unsent === true) return [];
    if (through.arrivals.length > 0) arrived += 1;
    return compare(fuzzCase, direct, through);
  };
  return {
    check,
    async run({ seed, goOn, onDifference, batch, onBatch }) {
      const random = createRandom(seed);
      let cases = 0;
      arrived = 0;
      for (; goOn(cases); cases += 1) {
        const fuzzCase = generateCase(random);
        const differences = await check(fuzzCase);
        if (differences.length > 0) {
          const kind = kindOf(differences[0]);
          const small = await shrink(fuzzCase, async (smaller) =>
            (await check(smaller)).some((each) => kindOf(each) === kind),
          );
          onDifference({ fuzzCase: small, differences });
        }
        if (cases % batch === batch - 1) await onBatch?.();
      }
      return { cases, arrived };
    },
    close: () => {
      for (const door of Object.values(doors)) for (const sender of Object.values(door)) sender.close();
    },
  };
}

/** What is left of a request that was given up may come late; a whole one that comes late is another request. */
const isOf = ({ headers, whole }: Arrival, number: number): boolean =>
  whole || headers.some(([name, value]) => name === CASE_HEADER && value === String(number));

const kindOf = (difference = ''): string => difference.slice(0, difference.indexOf(':') + 1 || undefined);
