import { describe, expect, test } from 'vitest';

import { type Check, checks } from './checks.ts';
import { numbersIn, scenarioFiles } from './scenario-files.ts';
import { tableOf, type TestOutcome, unmet, verdictsOf } from './verdicts.ts';

describe('the list of checks', () => {
  const tested = new Set(scenarioFiles().flatMap(({ numbers }) => [...numbers]));

  test('each number stands once', () => {
    const numbers = checks.map(({ number }) => number);
    expect(numbers).toEqual([...new Set(numbers)].toSorted((one, other) => one - other));
  });

  test('each check has a scenario with its number', () => {
    const missing = checks.filter(({ number }) => !tested.has(number));
    expect(missing.map(({ number, what }) => `[${number}] ${what}`)).toEqual([]);
  });

  test('each number of a scenario is that of a check', () => {
    const known = new Set(checks.map(({ number }) => number));
    expect([...tested].filter((number) => !known.has(number))).toEqual([]);
  });
});

describe('verdicts', () => {
  const check = (number: number): Check => ({ number, what: `what ${number}`, door: 'hub' });
  const outcome = (title: string, state: TestOutcome['state'], note?: string): TestOutcome => ({
    titles: ['a world', ...title.split(' > ')],
    state,
    ...(note === undefined ? {} : { note }),
  });
  const resultOf = (...outcomes: readonly TestOutcome[]): string =>
    verdictsOf([check(7)], outcomes).map(({ result, note }) => `${result} ${note}`.trim())[0] ?? '';

  test.each([
    ['[7] x', [7]],
    ['[12][13] x', [12, 13]],
    ['x [7]', []],
    ['[a] x', []],
    ['7 x', []],
  ])('%j has the numbers %j', (title, numbers) => {
    expect(numbersIn(title)).toEqual(numbers);
  });

  test.each([
    ['no test', []],
    ['no test', [outcome('[17] other', 'passed'), outcome('7 x', 'passed')]],
    ['passed', [outcome('[7] x', 'passed'), outcome('[17] other', 'failed')]],
    ['passed', [outcome('[6][7] x', 'passed')]],
    ['passed', [outcome('[7] around > x', 'passed')]],
    ['failed', [outcome('[7] x', 'passed'), outcome('[7] y', 'failed')]],
    ['not run', [outcome('[7] x', 'passed'), outcome('[7] y', 'not run')]],
    ['skipped no Go', [outcome('[7] x', 'skipped', 'no Go'), outcome('[7] y', 'skipped', 'no Go')]],
    ['skipped no reason given', [outcome('[7] x', 'skipped')]],
    ['passed no Python', [outcome('[7] x', 'passed'), outcome('[7] y', 'skipped', 'no Python')]],
  ] as const)('%s', (result, outcomes) => {
    expect(resultOf(...outcomes)).toBe(result);
  });

  test('each check that has not passed is unmet', () => {
    const all = [check(1), check(2), check(3), check(4), check(5)];
    const outcomes = [outcome('[1] a', 'passed'), outcome('[2] b', 'failed'), outcome('[3] c', 'skipped')];
    expect(unmet(verdictsOf(all, outcomes)).map(({ check: { number } }) => number)).toEqual([2, 3, 4, 5]);
  });

  test('the table', () => {
    const verdicts = verdictsOf(
      [check(1), check(12)],
      [outcome('[1] a', 'passed'), outcome('[1] b', 'passed'), outcome('[1] c', 'passed')],
    );
    expect(tableOf(verdicts, '1.37').split('\n')).toEqual([
      'NO  WHAT     WORLD       RESULT   TESTS',
      '1   what 1   hub (1.37)  passed   a; b; and 1 more',
      '12  what 12  hub (1.37)  no test',
    ]);
  });
});
