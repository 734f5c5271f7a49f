import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const folder = join(import.meta.dirname, '../scenarios');

/** A file with scenarios, and the numbers of the checks that it or what it imports has tests for. */
export interface ScenarioFile {
  /** Path. */
  readonly path: string;
  readonly numbers: ReadonlySet<number>;
}

/** The test files among the scenarios, by reading them. */
export function scenarioFiles(): readonly ScenarioFile[] {
  const sources = new Map(
    readdirSync(folder)
      .filter((name) => name.endsWith('.ts'))
      .map((name) => [name, readFileSync(join(folder, name), 'utf8')] as const),
  );
  return [...sources.keys()]
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => ({
      path: join(folder, name),
      numbers: new Set([...reachedFrom(name, sources)].flatMap((each) => titled(sources.get(each) ?? ''))),
    }));
}

/** The file and all beside it that it imports: scenarios stand in such files, too. */
function reachedFrom(name: string, sources: ReadonlyMap<string, string>): ReadonlySet<string> {
  const reached = new Set([name]);
  for (const each of reached) {
    for (const [, imported = ''] of (sources.get(each) ?? '').matchAll(/ from '\.\/([\w.-]+\.ts)'/g))
      if (sources.has(basename(imported))) reached.add(imported);
  }
  return reached;
}

/** The numbers at the beginning of texts: `'[12][13] the hub …'`. */
function titled(source: string): readonly number[] {
  return [...source.matchAll(/['"`]((?:\[\d+\])+) /g)].flatMap(([, numbers = '']) => numbersIn(numbers));
}

/** The numbers that a title begins with. */
export function numbersIn(title: string): readonly number[] {
  const [numbers = ''] = /^(?:\[\d+\])+/.exec(title) ?? [];
  return [...numbers.matchAll(/\d+/g)].map(([digits]) => Number(digits));
}
