import { expect, test } from 'vitest';

import { argumentsOf, parseLog, parseReport } from './load.ts';

const report = (lines: Partial<Record<'finished' | 'requests' | 'codes', string>>): string =>
  [
    'starting benchmark...',
    'progress: 100% done',
    '',
    lines.finished ?? 'finished in 2.50s, 4000.00 req/s, 1.52MB/s',
    lines.requests ??
      'requests: 10000 total, 10000 started, 10000 done, 10000 succeeded, 0 failed, 0 errored, 0 timeout',
    lines.codes ?? 'status codes: 10000 2xx, 0 3xx, 0 4xx, 0 5xx',
    'traffic: 3.81MB (4000240) total, 1.10MB (1150000) headers (space savings 40.00%), 0.86MB (900000) data',
    '                     min         max         mean         sd        +/- sd',
    'time for request:     1.02ms     20.00ms      3.00ms       500us    80.00%',
  ].join('\n');

test('a report of h2load is read', () => {
  expect(parseReport(report({}))).toEqual({
    ...{ requests: 10_000, seconds: 2.5, requestsPerSecond: 4000, bytes: 900_000 },
  });
  // At the end of a timed run.
  expect(parseReport(report({ codes: 'status codes: 10007 2xx, 0 3xx, 0 4xx, 0 5xx' })).requests).toBe(
    10_000,
  );
  expect(parseReport(report({ finished: 'finished in 500.00ms, 1 req/s, 1B/s' })).seconds).toBe(0.5);
});

test.each([
  { codes: 'status codes: 9999 2xx, 0 3xx, 0 4xx, 0 5xx' },
  { codes: 'status codes: 10000 2xx, 0 3xx, 1 4xx, 0 5xx' },
  { codes: 'status codes: 10000 2xx, 0 3xx, 0 4xx, 1 5xx' },
  {
    requests:
      'requests: 10000 total, 10000 started, 10000 done, 9999 succeeded, 1 failed, 0 errored, 0 timeout',
    codes: 'status codes: 9999 2xx, 0 3xx, 0 4xx, 0 5xx',
  },
  {
    requests: 'requests: 0 total, 0 started, 0 done, 0 succeeded, 0 failed, 0 errored, 0 timeout',
    codes: 'status codes: 0 2xx, 0 3xx, 0 4xx, 0 5xx',
  },
])('a run in which a request failed is no measurement: %j', (lines) => {
  expect(() => parseReport(report(lines))).toThrow('not all requests succeeded: requests: ');
});

test('a log of h2load has microseconds in its third column', () => {
  expect(parseLog('1700000000000000\t200\t1500\n1700000000000100\t200\t250\n')).toEqual([1.5, 0.25]);
});

test('rates are those of all connections together', () => {
  const options = { url: 'https://x/', token: 't', connections: 10, streams: 5 };
  const given = argumentsOf({ ...options, seconds: 4, requestsPerSecond: 1500 }, '/tmp/log');
  expect(given.join(' ')).toBe(
    '-c 10 -m 5 -D 4 --rps 150 --log-file /tmp/log -H authorization: Bearer t https://x/',
  );
  expect(argumentsOf({ ...options, requests: 20, bodyFile: 'b' }).join(' ')).toContain(
    '-n 20 -d b -H content-type: application/json',
  );
});
