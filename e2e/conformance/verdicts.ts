import type { Check } from './checks.ts';
import { numbersIn } from './scenario-files.ts';

/** How one test ended. */
export interface TestOutcome {
  /** Titles from the outermost `describe` to the test's own. */
  readonly titles: readonly string[];
  readonly state: 'passed' | 'failed' | 'skipped' | 'not run';
  /** Why it was skipped. */
  readonly note?: string;
}

/** What the tests say of one check. */
export interface Verdict {
  readonly check: Check;
  readonly result: 'passed' | 'failed' | 'skipped' | 'not run' | 'no test';
  /** Why, where it was skipped in part or as a whole. */
  readonly note: string;
  /** Titles of the tests, without numbers. */
  readonly tests: readonly string[];
}

/** Judges each check by the tests with its number, in their own titles or in those around them. */
export function verdictsOf(checks: readonly Check[], outcomes: readonly TestOutcome[]): readonly Verdict[] {
  return checks.map((check) => {
    const own = outcomes.filter(({ titles }) => titles.flatMap(numbersIn).includes(check.number));
    const notes = own.flatMap(({ state, note }) => (state === 'skipped' ? [note ?? 'no reason given'] : []));
    const tests = own.map(({ titles }) => titles.at(-1)?.replace(/^(?:\[\d+\])+ /, '') ?? '');
    return { check, result: resultOf(own), note: [...new Set(notes)].join('; '), tests };
  });
}

/** One failure is one too many; what was skipped proves nothing, but takes nothing away. */
function resultOf(outcomes: readonly TestOutcome[]): Verdict['result'] {
  const states = new Set(outcomes.map(({ state }) => state));
  for (const state of ['failed', 'not run', 'passed', 'skipped'] as const)
    if (states.has(state)) return state;
  return 'no test';
}

/** The checks that have not passed. */
export function unmet(verdicts: readonly Verdict[]): readonly Verdict[] {
  return verdicts.filter(({ result }) => result !== 'passed');
}

/** Lines of text: number, what, world, result, tests. */
export function tableOf(verdicts: readonly Verdict[], version: string): string {
  const rows = verdicts.map(({ check, result, note, tests }) => [
    String(check.number),
    check.what,
    `${check.door} (${version})`,
    note === '' ? result : `${result} (skipped: ${note})`,
    tests.length > 2 ? `${tests.slice(0, 2).join('; ')}; and ${tests.length - 2} more` : tests.join('; '),
  ]);
  const all = [['NO', 'WHAT', 'WORLD', 'RESULT', 'TESTS'], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
