import { startVitest, type TestCase } from 'vitest/node';

import { hubRelease } from '../kube/catalogue.ts';
import { checks } from './checks.ts';
import { scenarioFiles } from './scenario-files.ts';
import { tableOf, type TestOutcome, unmet, verdictsOf } from './verdicts.ts';

// Runs the numbered scenarios and prints what they say of each check; the exit code says whether all pass.
const files = scenarioFiles().filter(({ numbers }) => numbers.size > 0);
const vitest = await startVitest(
  files.map(({ path }) => path),
  { run: true, watch: false, project: ['scenarios'], testNamePattern: String.raw`\[\d+\]` },
);
const outcomes = vitest.state
  .getTestModules()
  .flatMap((module) => [...module.children.allTests()].map((each) => outcomeOf(each)));
await vitest.close();
const verdicts = verdictsOf(checks, outcomes);
console.log(`\n${tableOf(verdicts, hubRelease())}\n`);
const missed = unmet(verdicts);
for (const { check, result } of missed) console.log(`[${check.number}] ${check.what}: ${result}`);
if (missed.length === 0) console.log('all checks passed');
process.exitCode = missed.length === 0 ? 0 : 1;

function outcomeOf(testCase: TestCase): TestOutcome {
  const result = testCase.result();
  const titles = titlesOf(testCase);
  if (result.state === 'pending') return { titles, state: 'not run' };
  if (result.state !== 'skipped') return { titles, state: result.state };
  // A world that cannot run says why in its own title.
  const note = result.note ?? /\(not run: (.*)\)$/.exec(titles[0] ?? '')?.[1];
  return { titles, state: 'skipped', ...(note === undefined ? {} : { note }) };
}

function titlesOf(testCase: TestCase): readonly string[] {
  const titles = [testCase.name];
  for (let parent = testCase.parent; parent.type === 'suite'; parent = parent.parent)
    titles.unshift(parent.name);
  return titles;
}
