import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { ensureBuilt } from '../kube/binaries.ts';
import { agentNodeFlags } from '../worlds/node-flags.ts';
import { openNamespace } from './namespace.ts';
import type { TunnelSite } from './site.ts';

/** How one test of the suite ended. */
export interface SuiteOutcome {
  readonly name: string;
  readonly outcome: 'PASS' | 'FAIL' | 'SKIP';
  /** What it printed, the end of it. */
  readonly output: string;
}

/** An address that the suite expects to swallow packets (RFC 2544). It exists in the suite's own network alone. */
const blackHole = '198.18.0.254';

/**
 * Runs the tests of apiserver-network-proxy against an agent (needs root). They start their own server in their process, and
 * the agent for each test; all that in a network of its own, where names are looked up in a file.
 */
export async function runUpstreamSuite(
  site: TunnelSite,
  { agentPath, timeoutMs }: { readonly agentPath: string; readonly timeoutMs: number },
): Promise<readonly SuiteOutcome[]> {
  const recipe = { module: 'anp', package: 'sigs.k8s.io/apiserver-network-proxy/tests', ldflags: '-s -w' };
  const built = await ensureBuilt({ 'proxy-tests': { ...recipe, test: true, minutes: 1 } });
  const { directory, processes } = site;
  const namespace = await openNamespace({ name: 'suite', directory, processes });
  await namespace.run('ip', 'link', 'add', 'hole', 'type', 'veth', 'peer', 'name', 'void');
  for (const end of ['hole', 'void']) await namespace.run('ip', 'link', 'set', end, 'up');
  await namespace.run('ip', 'address', 'add', '198.18.0.1/24', 'dev', 'hole');
  // A neighbour that is known is not asked for, so nobody says that it is not there.
  const neighbour = ['neighbour', 'replace', blackHole, 'lladdr', '02:00:00:00:00:01', 'dev', 'hole'];
  await namespace.run('ip', ...neighbour, 'nud', 'permanent');
  const folder = join(directory, 'suite');
  await mkdir(folder);
  await writeFile(join(folder, 'nsswitch.conf'), 'hosts: files\n');
  await writeFile(join(folder, 'hosts'), '127.0.0.1 localhost\n');
  const script = [
    `mount --bind ${folder}/nsswitch.conf /etc/nsswitch.conf`,
    `mount --bind ${folder}/hosts /etc/hosts`,
    'exec "$0" "$@"',
  ].join(' && ');
  const run = async (name: string, flags: readonly string[]): Promise<SuiteOutcome[]> => {
    const log = join(directory, `${name}.log`);
    const suite = await namespace.processes.start({
      name: 'the suite',
      command: 'unshare',
      args: [
        ...['--mount', '--', 'sh', '-c', script, built['proxy-tests'], '-test.v', `-agent-path=${agentPath}`],
        ...[`-test.timeout=${Math.floor(timeoutMs / 1000)}s`, ...flags],
      ],
      log,
      cwd: folder,
    });
    // Past its own limit it is stuck.
    const ended = await Promise.race([
      suite.exited.then(() => true),
      sleep(timeoutMs + 5000, false, { ref: false }),
    ]);
    if (!ended) await suite.end();
    return outcomesOf(await readFile(log, 'utf8'));
  };
  const outcomes = await run('suite', []);
  const lost = outcomes.find(({ name, outcome }) => name === racing && outcome === 'FAIL');
  if (lost === undefined) return outcomes;
  const again = await run('again', [`-test.run=^${racing}$`]);
  return outcomes.map((outcome) => (outcome === lost ? (again[0] ?? lost) : outcome));
}

/**
 * One context of its client ends the tunnel and the request: http.Client says `context canceled` or, where it sees the end
 * of the tunnel first, `EOF`, which the test does not expect. Lost by chance it is run once more.
 */
const racing = 'TestProxyHandle_TunnelContextCancelled_GRPC';

/** Reads what `go test -v` prints. */
export function outcomesOf(text: string): SuiteOutcome[] {
  const outcomes: SuiteOutcome[] = [];
  let begun = 0;
  for (const match of text.matchAll(/^(?:=== RUN +(\S+)|--- (PASS|FAIL|SKIP): (\S+) .*)$/gm)) {
    const [, running, outcome, name = ''] = match;
    if (running !== undefined && !running.includes('/')) begun = match.index;
    if (outcome === undefined) continue;
    const output = text.slice(begun, match.index).slice(-4000);
    outcomes.push({ name, outcome: outcome as SuiteOutcome['outcome'], output });
  }
  return outcomes;
}

/** A program that takes the flags of the Go agent and is ours. Gives its path. */
export async function writeAgentLauncher(directory: string): Promise<string> {
  const path = join(directory, 'agent');
  const main = resolve(import.meta.dirname, '../../src/cli/main.ts');
  const command = [process.execPath, ...agentNodeFlags, main, 'agent'].map((word) => `'${word}'`).join(' ');
  // The suite's destinations are not the API server of a cluster.
  const lines = [`export CLUSTER_GATEWAY_AGENT_ALLOW_DESTINATIONS='*'`, `exec ${command} "$@"`];
  await writeFile(path, `#!/bin/sh\n${lines.join('\n')}\n`);
  await chmod(path, 0o755);
  return path;
}
