/**
 * `npm run test:versions`: the scenarios that prove the contract, on a hub of the pinned release and on one of the oldest, each
 * with that release's kubectl. `-- --release 1.33` runs one release alone, `-- resource streams` these files alone.
 */
import { basename } from 'node:path';
import { parseArgs } from 'node:util';

import { startVitest, type TestModule } from 'vitest/node';

import { hubRelease, oldestRelease, pinnedRelease } from '../kube/catalogue.ts';
import { type MatrixCell, matrixText } from './matrix.ts';

/** Where what depends on the hub's release is tested: registration, discovery, documents, identity, and what passes through. */
const scenarios = [
  'registration',
  'resource',
  'resource-access',
  'virtual-clusters',
  'health',
  'conformance-discovery',
  'conformance-representation',
  'conformance-authorization',
  'conformance-identity',
  'identity',
  'impersonation',
  'streams',
  'node-clients',
  'differential',
  'clients',
] as const;

const { values, positionals } = parseArgs({
  options: { release: { type: 'string', multiple: true, default: [pinnedRelease, oldestRelease] } },
  allowPositionals: true,
});
const files = positionals.length === 0 ? scenarios : positionals;

const cells: MatrixCell[] = [];
let ok = true;
for (const release of values.release) {
  // Says at once that there is no such release. The workers get our environment.
  hubRelease({ HUB_VERSION: release });
  process.env['HUB_VERSION'] = release;
  process.stdout.write(`\nhub ${release}\n`);
  const vitest = await startVitest(
    files.map((file) => `e2e/scenarios/${file}.test.ts`),
    { run: true, watch: false, project: ['scenarios'] },
  );
  const found = vitest.state.getTestModules().map((module) => cellOf(module, release));
  cells.push(...found);
  // A file that is not there must not look like one that passed.
  ok &&=
    found.length === files.length &&
    found.every((cell) => cell.ok) &&
    vitest.state.getUnhandledErrors().length === 0;
  await vitest.close();
}
process.stdout.write(`\n${matrixText(cells)}\n`);
process.exit(ok ? 0 : 1);

function cellOf(module: TestModule, release: string): MatrixCell {
  const tests = [...module.children.allTests()];
  const count = (state: string): number => tests.filter((test) => test.result().state === state).length;
  const reasons = tests.flatMap((test) => {
    const result = test.result();
    if (result.state !== 'skipped') return [];
    // A world that cannot run says why in its title.
    return [result.note ?? /\(not run: .*?\)/.exec(test.fullName)?.[0] ?? 'no reason given, see above'];
  });
  return {
    release,
    file: basename(module.moduleId, '.test.ts'),
    ok: module.ok(),
    passed: count('passed'),
    failed: count('failed'),
    skipped: count('skipped'),
    reasons: [...new Set(reasons)],
    ms: module.diagnostic().duration,
  };
}
