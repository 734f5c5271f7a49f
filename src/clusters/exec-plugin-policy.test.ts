import { expect, test } from 'vitest';
import { execPluginProblem } from './exec-plugin-policy.ts';

const problem = (command: string, allowed: readonly string[], ...names: readonly string[]) =>
  execPluginProblem({ command, env: names.map((name) => ({ name, value: 's3cret' })) }, allowed);

test.each([
  ['aws', ['aws']],
  ['aws', ['gcp', 'aws']],
  ['anything', ['*']],
  ['/usr/bin/aws', ['/usr/bin/aws']],
  ['/usr/local/../bin//aws', ['/usr/bin/aws']],
])('%s may run where %j may', (command, allowed) => {
  expect(problem(command, allowed)).toBeUndefined();
});

test.each([
  ['aws', []],
  ['aws', ['gcp']],
  ['aws', ['/usr/bin/aws']],
  ['/usr/bin/aws', ['aws']],
  ['/tmp/aws', ['/usr/bin/aws']],
  ['/usr/bin/aws/../sh', ['/usr/bin/aws']],
  ['AWS', ['aws']],
  ['aws ', ['aws']],
  ['aws\0', ['aws']],
])('%j may not where %j may', (command, allowed) => {
  expect(problem(command, allowed)).toMatch(/is not in --exec-plugin-allowlist/);
});

test.each([['./aws'], ['../aws'], ['bin/aws']])('%s depends on a directory that nobody chose', (command) => {
  expect(problem(command, ['*'])).toMatch(/must be a name or an absolute path/);
  expect(problem(command, [command])).toMatch(/must be a name or an absolute path/);
});

test.each(['PATH', 'LD_PRELOAD', 'BASH_ENV', 'BASH_FUNC_aws%%', 'NODE_OPTIONS', 'PYTHONSTARTUP', 'PERL5OPT'])(
  'an allowed command that could be made another by %s may not run',
  (name) => {
    expect(problem('aws', ['aws'], 'AWS_PROFILE', name)).toMatch(
      `the exec config must not set ${JSON.stringify(name)}`,
    );
    expect(problem('aws', ['aws'], name)).not.toContain('s3cret');
    // Where any command may run there is nothing to gain.
    expect(problem('aws', ['*'], name)).toBeUndefined();
  },
);

test('variables that mean something to the command alone are its own', () => {
  expect(problem('aws', ['aws'], 'AWS_PROFILE', 'HOME', 'HTTPS_PROXY', 'path')).toBeUndefined();
});
