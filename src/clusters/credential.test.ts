import { describe, expect, test } from 'vitest';
import { Redacted } from '../base/redacted.ts';
import type { Cluster } from './cluster.ts';
import { createCredentialResolver } from './credential.ts';
import { runExecPlugin } from './exec-plugin.ts';

const apiVersion = 'client.authentication.k8s.io/v1';

function dynamicCluster(script: string, name = 'c'): Cluster {
  return {
    type: 'accepted',
    name,
    alias: '',
    creationTimestamp: undefined,
    resourceVersion: '1',
    labels: {},
    credentialType: 'Dynamic',
    endpointType: 'Const',
    hasEndpointType: false,
    endpointUrl: 'https://x',
    health: undefined,
    endpoint: {
      url: 'https://x',
      host: 'x',
      port: 443,
      authority: 'x',
      basePath: '',
      trust: { type: 'none' },
    },
    credential: {
      type: 'Dynamic',
      exec: new Redacted({
        apiVersion,
        command: '/bin/sh',
        args: ['-c', script],
        env: [{ name: 'A', value: 'b' }],
        provideClusterInfo: true,
      }),
      fingerprint: script,
    },
    accessFingerprint: 'f',
  };
}

const prints = (status: object) =>
  `printf '%s' '${JSON.stringify({ apiVersion, kind: 'ExecCredential', status })}'`;
const run = (script: string, limits = { timeoutMs: 5000, maxOutputBytes: 10_000 }) => {
  const { credential, endpoint } = dynamicCluster(script);
  if (credential.type !== 'Dynamic') throw new Error('not dynamic');
  return runExecPlugin(credential.exec.reveal(), endpoint, limits);
};

describe('a credential plugin', () => {
  test('prints a token', async () => {
    const credential = await run(prints({ token: 't', expirationTimestamp: '2030-01-01T00:00:00Z' }));
    expect(credential.token?.reveal()).toBe('t');
    expect(credential.expiresAt).toBe(Date.parse('2030-01-01T00:00:00Z'));
  });

  test('is told the API version and, if it wants, the cluster', async () => {
    const credential = await run(
      `test "$A" = b && case "$KUBERNETES_EXEC_INFO" in *'"server":"https://x"'*) ${prints({ token: 't' })};; esac`,
    );
    expect(credential.token?.reveal()).toBe('t');
  });

  test.each([
    ['exit 3', 'failed with exit code 3'],
    ['echo s3cret', 'did not print JSON'],
    ["echo '{}'", 'did not print an ExecCredential'],
    [prints({}), "didn't return a token or cert/key pair"],
    [prints({ clientCertificateData: 's3cret' }), 'returned only certificate or key, not both'],
    [prints({ token: 's3cret\n2' }), 'no header may hold'],
    [
      `echo '${JSON.stringify({ apiVersion: 'client.authentication.k8s.io/v1beta1', kind: 'ExecCredential', status: { token: 's3cret' } })}'`,
      'plugin returned version',
    ],
    ['head -c 20000 /dev/zero', 'printed too much'],
  ])('%s: %s', async (script, message) => {
    const error = await run(script).catch((thrown: unknown) => thrown);
    expect(String(error)).toContain(message);
    expect(String(error)).not.toContain('s3cret');
  });

  test('that hangs is killed, with what it started', async () => {
    const started = performance.now();
    await expect(run('sleep 60 & sleep 60', { timeoutMs: 200, maxOutputBytes: 100 })).rejects.toThrow(
      'took longer than',
    );
    expect(performance.now() - started).toBeLessThan(3000);
  });

  test('that does not exist is named', async () => {
    const endpoint = dynamicCluster('').endpoint;
    const exec = { apiVersion, command: '/nowhere/plugin', args: [], env: [], provideClusterInfo: false };
    await expect(runExecPlugin(exec, endpoint)).rejects.toThrow('executable "/nowhere/plugin" not found');
  });
});

describe('the resolver', () => {
  const counting = () => {
    const state = { runs: 0, now: 0, expiresAt: undefined as number | undefined };
    const resolver = createCredentialResolver({
      allowedCommands: ['*'],
      now: () => state.now,
      run: async () => {
        state.runs += 1;
        await Promise.resolve();
        return {
          token: new Redacted(`t${state.runs}`),
          ...(state.expiresAt === undefined ? {} : { expiresAt: state.expiresAt }),
        };
      },
    });
    return { state, resolver };
  };

  test('runs a plugin once for many callers and remembers what it printed', async () => {
    const { state, resolver } = counting();
    const cluster = dynamicCluster('a');
    await Promise.all(Array.from({ length: 10 }, async () => resolver.resolve(cluster)));
    await resolver.resolve(cluster);
    expect(state.runs).toBe(1);
  });

  test('runs it again a minute before its end, after a 401, and for another Secret', async () => {
    const { state, resolver } = counting();
    state.expiresAt = 100_000;
    await resolver.resolve(dynamicCluster('a'));
    state.now = 39_999;
    await resolver.resolve(dynamicCluster('a'));
    expect(state.runs).toBe(1);
    state.now = 40_000;
    state.expiresAt = 200_000;
    await resolver.resolve(dynamicCluster('a'));
    expect(state.runs).toBe(2);
    resolver.reject(dynamicCluster('a'));
    await resolver.resolve(dynamicCluster('a'));
    expect(state.runs).toBe(3);
    await resolver.resolve(dynamicCluster('b'));
    await resolver.resolve(dynamicCluster('a', 'other'));
    expect(state.runs).toBe(5);
  });

  test('runs only what is allowed', async () => {
    const resolver = createCredentialResolver({ allowedCommands: ['aws'] });
    await expect(resolver.resolve(dynamicCluster(prints({ token: 't' })))).rejects.toThrow(
      'not in --exec-plugin-allowlist',
    );
  });

  test('a printed certificate makes connections of its own', async () => {
    const resolver = createCredentialResolver({ allowedCommands: ['*'] });
    const credential = await resolver.resolve(
      dynamicCluster(prints({ clientCertificateData: 'c', clientKeyData: 'k' })),
    );
    expect(credential.transportKey).not.toBe('f');
    expect(credential.authorization).toBeUndefined();
  });
});
