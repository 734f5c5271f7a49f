import { isDeepStrictEqual } from 'node:util';

import { answers } from './answers.ts';
import { CLUSTER_TOKEN, answerRules, comparable, requestRules, valuesOf } from './expected-headers.ts';
import { refusals } from './expected-refusals.ts';
import { PIPELINED, isUnfinished } from './framing.ts';
import type { FuzzCase, HeaderPair } from './fuzz-case.ts';
import { SECRET } from './header-kinds.ts';
import type { Answer, Arrival, Observed } from './observed.ts';

/** What of a case was not the same on its two ways, and is not expected; empty: nothing. */
export function compare(fuzzCase: FuzzCase, direct: Observed, through: Observed): string[] {
  const leaks = through.arrivals.flatMap(leaksOf);
  if (isUnfinished(fuzzCase)) {
    const whole = through.arrivals.some((arrival) => arrival.whole);
    return [...leaks, ...(whole ? ['half a request arrived as a whole one'] : [])];
  }
  const isOrderly = fuzzCase.framing === 'plain' || fuzzCase.framing === 'chunked';
  // What a parser gives up half way may have begun; it is no request.
  const seen = isOrderly ? direct.arrivals : direct.arrivals.filter(({ whole }) => whole);
  const carried = isOrderly ? through.arrivals : through.arrivals.filter(({ whole }) => whole);
  const refused = refusals.filter(({ applies }) => applies(fuzzCase));
  const counts = `${carried.length} requests arrived, directly ${seen.length}`;
  if (carried.length > seen.length) return [...leaks, counts];
  if (seen.length === 0) {
    const said = `nothing arrived, and ${through.answer.status} was answered`;
    return isRefusal(through.answer) ? leaks : [...leaks, said];
  }
  // The second request of a pipeline has nothing that must be refused.
  const first = carried.filter((arrival) => place(arrival) === 0);
  if (refused.some(({ always }) => always) || first.length === 0)
    return [...leaks, ...compareRefusal(first, through.answer, refused)];
  if (carried.length < seen.length) return [...leaks, counts];
  // Node's server begins what is pipelined at once, so that either may come first.
  const inOrder = carried.toSorted((one, other) => place(one) - place(other));
  const differences = seen
    .toSorted((one, other) => place(one) - place(other))
    .flatMap((arrival, i) => {
      const other = inOrder[i];
      return other ? compareArrivals(arrival, other) : [];
    });
  return [...leaks, ...differences, ...compareAnswers(fuzzCase, direct, through)];
}

const place = ({ headers }: Arrival): number => valuesOf(headers, PIPELINED).length;
const isRefusal = ({ status }: Answer): boolean => status === 0 || (status >= 400 && status < 600);

function compareRefusal(arrivals: readonly Arrival[], answer: Answer, rules: typeof refusals): string[] {
  const statuses = rules.flatMap((each) => each.statuses);
  const differences: string[] = [];
  if (arrivals.length > 0)
    differences.push(`arrived though refused: ${rules.map(({ reason }) => reason).join('; ')}`);
  // The parser refuses before any rule does.
  if (rules.length === 0 || !(statuses.includes(answer.status) || answer.status === 400))
    differences.push(`refused with ${answer.status}: ${answer.body.toString('latin1', 0, 300)}`);
  return differences;
}

/** What of the caller must never arrive, whatever else is expected. */
function leaksOf({ headers }: Arrival): string[] {
  const leaks = headers
    .filter(
      ([name, value]) =>
        value.includes(SECRET) || /^(?:x-remote-|impersonate-|cookie$|proxy-auth)/i.test(name),
    )
    .map(([name]) => `${name} of the caller arrived`);
  const credentials = valuesOf(headers, 'authorization');
  if (!isDeepStrictEqual(credentials, [`Bearer ${CLUSTER_TOKEN}`]))
    leaks.push('Authorization is not the cluster’s alone');
  return leaks;
}

function compareArrivals(direct: Arrival, through: Arrival): string[] {
  const differences: string[] = [];
  for (const part of ['method', 'path', 'whole'] as const)
    if (direct[part] !== through[part]) differences.push(differs(part, direct[part], through[part]));
  if (!direct.body.equals(through.body))
    differences.push(differs('body', direct.body.length, through.body.length));
  differences.push(
    ...compareHeaders(
      'request',
      comparable(direct.headers, requestRules),
      comparable(through.headers, requestRules),
    ),
  );
  differences.push(...compareOwn(direct.headers, through.headers));
  return differences;
}

/** The lines that the gateway writes itself. */
function compareOwn(sent: readonly HeaderPair[], received: readonly HeaderPair[]): string[] {
  const differences: string[] = [];
  const [auditId] = valuesOf(sent, 'audit-id');
  const [received1, ...more] = valuesOf(received, 'audit-id');
  const isGiven = auditId !== undefined && /^[\x21-\x7e]{1,64}$/.test(auditId);
  if (received1 === undefined || more.length > 0 || (isGiven && received1 !== auditId))
    differences.push(differs('audit-id', auditId, [received1, ...more]));
  const hops = valuesOf(sent, 'x-cluster-gateway-hops')
    .flatMap((line) => line.split(','))
    .map(Number);
  const expected = [String(Math.max(0, ...hops) + 1)];
  const counted = valuesOf(received, 'x-cluster-gateway-hops');
  if (!isDeepStrictEqual(counted, expected)) differences.push(differs('hops', expected, counted));
  const addresses = valuesOf(received, 'x-forwarded-for');
  if (!isDeepStrictEqual(addresses, ['127.0.0.1']))
    differences.push(differs('x-forwarded-for', ['127.0.0.1'], addresses));
  return differences;
}

function compareAnswers(fuzzCase: FuzzCase, direct: Observed, through: Observed): string[] {
  const answer = answers[fuzzCase.answer];
  const isRedirect =
    direct.answer.status === answer?.status && direct.answer.status >= 300 && direct.answer.status < 400;
  if (isRedirect && answer.status !== 304 && valuesOf(direct.answer.headers, 'location').length > 0)
    return through.answer.status === 502 ? [] : [`a redirect was answered with ${through.answer.status}`];
  const differences: string[] = [];
  if (direct.more !== through.more)
    differences.push(differs('answers behind the first', direct.more, through.more));
  for (const part of ['status', 'whole'] as const)
    if (direct.answer[part] !== through.answer[part])
      differences.push(differs(part, direct.answer[part], through.answer[part]));
  if (!direct.answer.body.equals(through.answer.body))
    differences.push(differs('answer body', direct.answer.body.length, through.answer.body.length));
  const [expected, seen] = [
    comparable(direct.answer.headers, answerRules),
    comparable(through.answer.headers, answerRules),
  ];
  // Chunks may become a length: the bytes are the same.
  if (!expected.has('content-length')) seen.delete('content-length');
  // A 401 is about the gateway's credential, and says so (README, Credentials that end).
  if (through.answer.status === 401) seen.delete('warning');
  return [...differences, ...compareHeaders('answer', expected, seen)];
}

function compareHeaders(of: string, direct: Map<string, string[]>, through: Map<string, string[]>): string[] {
  const names = new Set([...direct.keys(), ...through.keys()]);
  return [...names]
    .filter((name) => !isDeepStrictEqual(direct.get(name), through.get(name)))
    .map((name) => differs(`${of} header ${name}`, direct.get(name), through.get(name)));
}

const shown = (value: unknown): string =>
  (value === undefined ? 'nothing' : JSON.stringify(value)).slice(0, 200);
const differs = (what: string, direct: unknown, through: unknown): string =>
  `${what}: directly ${shown(direct)}, through ${shown(through)}`;
