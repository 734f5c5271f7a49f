import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { Redacted } from '../base/redacted.ts';
import { issueCertificate } from '../pki/issue.ts';
import type { Cluster } from './cluster.ts';
import { createCredentialResolver } from './credential.ts';
import type { PluginResult } from './credential.ts';
import { dynamicCluster, prints } from './testing/dynamic-cluster.ts';

function start() {
  const state = {
    runs: 0,
    now: 0,
    expiresAt: undefined as number | undefined,
    results: [] as PluginResult[],
  };
  const logged: string[] = [];
  const note = (...line: unknown[]) => logged.push(inspect(line, { depth: 9 }));
  const resolver = createCredentialResolver({
    log: { ...silentLog, warn: note, error: note, info: note, debug: note },
    now: () => state.now,
    onPluginRun: (result) => state.results.push(result),
    run: async () => {
      state.runs += 1;
      await Promise.resolve();
      return {
        token: new Redacted(`t${state.runs}`),
        ...(state.expiresAt === undefined ? {} : { expiresAt: state.expiresAt }),
      };
    },
  });
  return { state, resolver, logged };
}

const real = () => createCredentialResolver({ log: silentLog });

const tokenCluster: Cluster = {
  ...dynamicCluster(''),
  credential: {
    type: 'ServiceAccountToken',
    authorization: new Redacted('Bearer s3cret'),
    validity: { until: 7000 },
  },
};

describe('the credential of a Secret', () => {
  test('is there at once, the same each time', () => {
    const { resolver } = start();
    const credential = resolver.resolve(tokenCluster);
    expect(credential).toMatchObject({ transportKey: 'f' });
    expect(resolver.resolve(tokenCluster)).toBe(credential);
    expect(resolver.expiresAt(tokenCluster)).toBe(7000);
  });

  test('that the cluster refuses is said in the log, once a minute', async () => {
    const { resolver, logged } = start();
    const credential = await resolver.resolve(tokenCluster);
    for (let i = 0; i < 100; i += 1) resolver.reject(tokenCluster, credential);
    expect(logged).toHaveLength(1);
    expect(logged[0]).toContain("cluster: 'c'");
    expect(logged[0]).not.toContain('s3cret');
  });
});

describe('the credential of a plugin', () => {
  test('is of one Secret, whatever the labels of that become', async () => {
    const { state, resolver } = start();
    await resolver.resolve(dynamicCluster('a'));
    await resolver.resolve({ ...dynamicCluster('a'), resourceVersion: '2', labels: { new: 'one' } });
    expect(state.runs).toBe(1);
    await resolver.resolve(dynamicCluster('b'));
    await resolver.resolve({ ...dynamicCluster('b'), accessFingerprint: 'moved' });
    await resolver.resolve(dynamicCluster('b', { name: 'other' }));
    expect(state.runs).toBe(4);
  });

  test('is not kept when the cluster is gone', async () => {
    const { state, resolver } = start();
    state.expiresAt = 100_000;
    await resolver.resolve(dynamicCluster('a'));
    expect(resolver.expiresAt(dynamicCluster('a'))).toBe(100_000);
    resolver.forget('c');
    expect(resolver.expiresAt(dynamicCluster('a'))).toBeUndefined();
    await resolver.resolve(dynamicCluster('a'));
    expect(state.runs).toBe(2);
  });

  test('to say when it ends runs nothing', () => {
    const { state, resolver } = start();
    expect(resolver.expiresAt(dynamicCluster('a'))).toBeUndefined();
    expect(state.runs).toBe(0);
  });

  test('after a 401 is a new one', async () => {
    const { state, resolver } = start();
    const cluster = dynamicCluster('a');
    resolver.reject(cluster, await resolver.resolve(cluster));
    expect((await resolver.resolve(cluster)).authorization?.reveal()).toBe('Bearer t2');
    expect(state.results).toEqual(['ok', 'ok']);
  });

  test('that has ended when it is printed is refused: it would be asked for at every request', async () => {
    const { state, resolver, logged } = start();
    state.now = state.expiresAt = 5_000;
    const asked = () => Promise.resolve(resolver.resolve(dynamicCluster('a')));
    await expect(asked()).rejects.toThrow('ended at 1970-01-01T00:00:05.000Z');
    await expect(asked()).rejects.toThrow('ended at');
    expect(state.runs).toBe(1);
    expect(state.results).toEqual(['failed']);
    expect(logged).toHaveLength(1);
  });

  test('that is a certificate makes connections of its own', async () => {
    const { certificatePem, privateKeyPem } = await issueCertificate({ commonName: 'me' });
    const script = prints({ clientCertificateData: certificatePem, clientKeyData: privateKeyPem });
    const credential = await real().resolve(dynamicCluster(script));
    expect(credential.transportKey).not.toBe('f');
    expect(credential.authorization).toBeUndefined();
    expect(credential.clientCertificate?.certificatePem).toBe(certificatePem);
  });
});

test('of many plugins eight run at once', async () => {
  let running = 0;
  let most = 0;
  const resolver = createCredentialResolver({
    log: silentLog,
    run: async () => {
      most = Math.max(most, (running += 1));
      await new Promise((resolve) => setTimeout(resolve, 20));
      running -= 1;
      return { token: new Redacted('t') };
    },
  });
  const clusters = Array.from({ length: 50 }, (_, i) => dynamicCluster('a', { name: `c${i}` }));
  await Promise.all(clusters.map(async (cluster) => resolver.resolve(cluster)));
  expect(most).toBe(8);
});

test('the end of the gateway ends plugins, and lets none begin', async () => {
  const resolver = real();
  const running = Promise.resolve(resolver.resolve(dynamicCluster('sleep 60')));
  running.catch(() => undefined);
  resolver.destroy();
  await expect(running).rejects.toThrow('was ended');
  await expect(resolver.resolve(dynamicCluster('exit 0', { name: 'late' }))).rejects.toThrow('was ended');
});

test('nothing that a Secret or a plugin holds is logged', async () => {
  const logged: string[] = [];
  const note = (...line: unknown[]) => logged.push(inspect(line, { depth: 9, showHidden: true }));
  const resolver = createCredentialResolver({
    log: { warn: note, error: note, info: note, debug: note },
  });
  const exec = {
    args: ['-c', 'echo s3cret; echo s3cret >&2; exit 1', 's3cret'],
    env: [{ name: 'S', value: 's3cret' }],
  };
  const cluster = dynamicCluster('', { exec, endpoint: { proxyUrl: new Redacted('http://u:s3cret@p') } });
  const error: unknown = await Promise.resolve(resolver.resolve(cluster)).catch((thrown: unknown) => thrown);
  expect(logged).toHaveLength(1);
  expect(logged.join() + inspect(error, { depth: 9, showHidden: true })).not.toContain('s3cret');
  expect(inspect(cluster, { depth: 9 }) + JSON.stringify(cluster)).not.toContain('s3cret');
});
