import { expect, test } from 'vitest';

import { targetOf } from './fuzz-case.ts';
import { generateCase } from './generate.ts';
import { createRandom } from './random.ts';

const casesOf = (seed: number, count: number) => {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => generateCase(random));
};

test('the same seed gives the same cases, another one others', () => {
  expect(casesOf(7, 200)).toEqual(casesOf(7, 200));
  expect(casesOf(8, 20)).not.toEqual(casesOf(7, 20));
});

test('random numbers are those of mulberry32', () => {
  const random = createRandom(1);
  const whole = 2 ** 32;
  expect([random.below(whole), random.below(whole)]).toEqual([2693262067, 11749833]);
});

test('every kind of oddity comes up', () => {
  const cases = casesOf(1, 4000);
  const framings = new Set(cases.map(({ framing }) => framing));
  expect(framings.size).toBe(20);
  const headers = new Set(cases.flatMap((each) => each.headers.map(([name]) => name.toLowerCase())));
  for (const name of ['x-remote-user', 'impersonate-user', 'cookie', 'te', 'connection', 'range', 'expect'])
    expect(headers).toContain(name);
  const targets = cases.map(targetOf).join('\n');
  for (const part of ['%2F', '%25', '%C3%A9', '//', '/..', '%zz', ';', '&&', '__dryRun', '\xe9'])
    expect(targets).toContain(part);
  expect(new Set(cases.map(({ body }) => body.length))).toContain(65_537);
  expect(cases.some(({ query }) => query?.split('&').length === 200)).toBe(true);
});

test('HTTP/2 gets nothing that its clients refuse to send', () => {
  for (const { headers, protocol } of casesOf(2, 1000).filter(({ protocol }) => protocol === 'h2')) {
    expect(protocol).toBe('h2');
    for (const [name] of headers)
      expect(['connection', 'keep-alive', 'proxy-connection']).not.toContain(name);
  }
});
