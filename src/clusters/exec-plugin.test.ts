import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Redacted } from '../base/redacted.ts';
import { issueCertificate } from '../pki/issue.ts';
import type { Endpoint, ExecConfig } from './cluster.ts';
import { execPluginEnvironment } from './exec-plugin-environment.ts';
import { runExecPlugin } from './exec-plugin.ts';
import { dynamicCluster, prints } from './testing/dynamic-cluster.ts';

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'exec-plugin-'))));
afterAll(() => rm(folder, { recursive: true }));

interface Run {
  readonly exec?: Partial<ExecConfig>;
  readonly endpoint?: Partial<Endpoint>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

function run(script: string, { timeoutMs = 5000, signal, ...more }: Run = {}) {
  const { credential, endpoint } = dynamicCluster(script, more);
  return runExecPlugin(credential.exec.reveal(), endpoint, {
    signal: signal ?? new AbortController().signal,
    limits: { timeoutMs, maxOutputBytes: 10_000 },
  });
}

const jwt = (claims: object) => `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`;

/** Whether a process of that id is there, and is no zombie. */
async function runs(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '0 (gone) Z');
  return !/\) Z/.test(stat);
}

describe('a credential plugin', () => {
  test('prints a token', async () => {
    const credential = await run(prints({ token: 't', expirationTimestamp: '2030-01-01T00:00:00Z' }));
    expect(credential.token?.reveal()).toBe('t');
    expect(credential.expiresAt).toBe(Date.parse('2030-01-01T00:00:00Z'));
  });

  test('prints a certificate; a token beside it wins', async () => {
    const { certificatePem, privateKeyPem } = await issueCertificate({ commonName: 'me' });
    const pair = { clientCertificateData: certificatePem, clientKeyData: privateKeyPem };
    const credential = await run(prints(pair));
    expect(credential.clientCertificate?.certificatePem).toBe(certificatePem);
    expect(credential.token).toBeUndefined();
    const both = await run(prints({ ...pair, token: 't' }));
    expect(both.token?.reveal()).toBe('t');
    expect(both.clientCertificate).toBeUndefined();
  });

  test('that names no end: that of the token or the certificate counts', async () => {
    expect(await run(prints({ token: 't' }))).not.toHaveProperty('expiresAt');
    expect((await run(prints({ token: jwt({ exp: 2e9 }) }))).expiresAt).toBe(2e12);
    const said = { token: jwt({ exp: 2e9 }), expirationTimestamp: '2030-01-01T00:00:00Z' };
    expect((await run(prints(said))).expiresAt).toBe(Date.parse('2030-01-01T00:00:00Z'));
    const { certificatePem, privateKeyPem } = await issueCertificate({ commonName: 'me', validDays: 2 });
    const pair = { clientCertificateData: certificatePem, clientKeyData: privateKeyPem };
    const inTwoDays = Date.now() + 2 * 86_400_000;
    expect(Math.abs(((await run(prints(pair))).expiresAt ?? 0) - inTwoDays)).toBeLessThan(60_000);
  });

  test.each([
    ['exit 3', 'failed with exit code 3'],
    ['kill -9 $$', 'failed with signal SIGKILL'],
    ['echo s3cret', 'did not print JSON'],
    ['echo s3cret >&2; exit 1', 'failed with exit code 1'],
    ["echo '{}'", 'did not print an ExecCredential'],
    [prints({}), "didn't return a token or cert/key pair"],
    [prints({ token: '' }), "didn't return a token or cert/key pair"],
    [prints({ clientCertificateData: 's3cret' }), 'returned only certificate or key, not both'],
    [prints({ clientCertificateData: 's3cret', clientKeyData: 's3cret' }), 'that cannot be used'],
    [prints({ token: 's3cret\n2' }), 'no header may hold'],
    [prints({ token: 't', expirationTimestamp: 's3cret' }), 'no RFC 3339 time'],
    [prints({ token: 's3cret' }, 'client.authentication.k8s.io/v1beta1'), 'plugin returned another version'],
    [prints({ token: 't' }, 's3cret'), 'plugin returned another version'],
    ['head -c 20000 /dev/zero', 'printed too much'],
    ['yes s3cret', 'printed too much'],
  ])('%s: %s', async (script, message) => {
    const error: unknown = await run(script).catch((thrown: unknown) => thrown);
    expect(String(error)).toContain(message);
    expect(inspect(error, { depth: 9 })).not.toContain('s3cret');
  });

  test('that cannot be started says nothing of its arguments, not even to the log', async () => {
    for (const exec of [
      { command: '/nowhere/plugin', args: ['s3cret'] },
      { command: 'nowhere-plugin', args: ['s3cret'] },
      { command: '/etc/passwd', args: ['s3cret'] },
      { args: ['s3cret\0'] },
      { args: ['s3cret'.repeat(100_000)] },
    ]) {
      const error: unknown = await run('', { exec }).catch((thrown: unknown) => thrown);
      expect(String(error)).toMatch(/executable ".*" not found|cannot run ".*"/);
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('s3cret');
    }
  });

  test('that hangs is killed, with what it started', async () => {
    const pids = join(folder, 'hanging');
    const started = performance.now();
    const script = `sleep 60 & echo $! $$ > ${pids}; sleep 60`;
    await expect(run(script, { timeoutMs: 500 })).rejects.toThrow('took longer than 0.5 s');
    expect(performance.now() - started).toBeLessThan(3000);
    for (const pid of (await readFile(pids, 'utf8')).split(' '))
      await expect.poll(() => runs(Number(pid))).toBe(false);
  });

  test('is killed with what it started when nobody wants it any more', async () => {
    const pids = join(folder, 'unwanted');
    const ending = new AbortController();
    const running = run(`sleep 60 & echo $! $$ > ${pids}; sleep 60`, { signal: ending.signal });
    running.catch(() => undefined);
    await expect.poll(() => readFile(pids, 'utf8').catch(() => '')).toMatch(/\d+ \d+\n/);
    ending.abort();
    await expect(running).rejects.toMatchObject({ kind: 'cancelled' });
    for (const pid of (await readFile(pids, 'utf8')).split(' '))
      await expect.poll(() => runs(Number(pid))).toBe(false);
    await expect(run('sleep 60', { signal: ending.signal })).rejects.toMatchObject({ kind: 'cancelled' });
  });

  test('has no standard input, and works in /', async () => {
    const credential = await run(`cat; test "$PWD" = / && ${prints({ token: 't' })}`);
    expect(credential.token?.reveal()).toBe('t');
  });

  test("a name is found by the gateway's PATH, whatever the Secret says of it", async () => {
    await writeFile(join(folder, 'cat'), `#!/bin/sh\n${prints({ token: 'evil' })}\n`, { mode: 0o755 });
    const credentialFile = join(folder, 'credential');
    await writeFile(
      credentialFile,
      '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"good"}}',
    );
    const exec = { command: 'cat', args: [credentialFile], env: [{ name: 'PATH', value: folder }] };
    expect((await run('', { exec })).token?.reveal()).toBe('good');
  });
});

describe('what a plugin is told', () => {
  const { endpoint, credential } = dynamicCluster('');
  const config = (more: Partial<ExecConfig> = {}): ExecConfig => {
    return { ...credential.exec.reveal(), ...more };
  };
  const told = (more: Partial<ExecConfig>, to: Partial<Endpoint> = {}): unknown =>
    JSON.parse(execPluginEnvironment(config(more), { ...endpoint, ...to }, {})['KUBERNETES_EXEC_INFO'] ?? '');

  test('the version, and that nobody sits before it', () => {
    for (const apiVersion of ['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1'])
      expect(told({ apiVersion })).toEqual({
        kind: 'ExecCredential',
        apiVersion,
        spec: { interactive: false },
      });
  });

  // As client-go's rest.ConfigToExecCluster.
  test.each<[string, Partial<Endpoint>, object]>([
    ['unverified', {}, { server: 'https://x', 'insecure-skip-tls-verify': true }],
    ['with system CAs', { trust: { type: 'system' } }, { server: 'https://x' }],
    [
      'with a CA',
      { trust: { type: 'ca', caPem: 'pem' } },
      { server: 'https://x', 'certificate-authority-data': 'cGVt' },
    ],
    [
      'behind a proxy',
      { trust: { type: 'system' }, proxyUrl: new Redacted('http://u:p@proxy') },
      { server: 'https://x', 'proxy-url': 'http://u:p@proxy' },
    ],
  ])('the cluster, if it asks for it: %s', (_, to, cluster) => {
    expect(told({ provideClusterInfo: true }, to)).toMatchObject({
      spec: { interactive: false, cluster: { ...cluster, config: null } },
    });
    expect(JSON.stringify(told({ provideClusterInfo: false }, to))).not.toContain('https://x');
  });

  test("of the gateway's own environment what it needs, and no secret of it", async () => {
    process.env['OWN_SECRET'] = 's3cret';
    process.env['AWS_SECRET_ACCESS_KEY'] = 's3cret';
    try {
      const file = join(folder, 'environment');
      await run(`env > ${file}; ${prints({ token: 't' })}`, { exec: { env: [{ name: 'A', value: 'b' }] } });
      const lines = (await readFile(file, 'utf8')).split('\n');
      expect(lines).toContain('A=b');
      expect(lines).toContain(`PATH=${process.env['PATH']}`);
      expect(lines).toContain(`HOME=${process.env['HOME']}`);
      expect(lines.join('\n')).not.toContain('s3cret');
    } finally {
      delete process.env['OWN_SECRET'];
      delete process.env['AWS_SECRET_ACCESS_KEY'];
    }
  });

  test("the Secret's variables come before ours, and KUBERNETES_EXEC_INFO is ours", () => {
    const env = [
      { name: 'HOME', value: '/theirs' },
      { name: 'KUBERNETES_EXEC_INFO', value: 'theirs' },
    ];
    const environment = execPluginEnvironment(config({ env }), endpoint, { HOME: '/ours', AWS_REGION: 'eu' });
    expect(environment).toEqual({
      HOME: '/theirs',
      AWS_REGION: 'eu',
      KUBERNETES_EXEC_INFO: expect.stringContaining('"kind":"ExecCredential"') as string,
    });
  });
});
