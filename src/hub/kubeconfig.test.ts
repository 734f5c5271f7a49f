import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { silentLog } from '../base/log.ts';
import { testPki } from '../net/testing/certificates.ts';
import { createHubClient } from './client.ts';
import { loadHubConfig } from './kubeconfig.ts';
import type { HubConfig } from './kubeconfig.ts';
import { closeAtEnd, startHub } from './testing/fake-hub.ts';

let folder = '';
let clock = 0;
const base64 = (text: string) => Buffer.from(text).toString('base64');

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hub-kubeconfig-'));
  clock = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => clock);
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

/** JSON is YAML. */
async function write(user: object, cluster: object = {}): Promise<string> {
  const path = join(folder, 'config');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'two',
    clusters: [
      { name: 'other', cluster: { server: 'https://other' } },
      { name: 'hub', cluster: { server: 'https://hub.test:6443', ...cluster } },
    ],
    users: [{ name: 'me', user }],
    contexts: [
      { name: 'one', context: { cluster: 'other', user: 'me' } },
      { name: 'two', context: { cluster: 'hub', user: 'me' } },
    ],
  };
  await writeFile(path, JSON.stringify(config));
  return path;
}

const load = async (user: object, cluster: object = {}) =>
  loadHubConfig({ kubeconfig: await write(user, cluster) });
const shown = async (config: HubConfig, fresh = false) => (await config.authorization(fresh))?.reveal();

describe('the server', () => {
  test.each([
    ['https://hub.test:6443', { host: 'hub.test', port: 6443 }, 'hub.test:6443', ''],
    ['https://hub.test', { host: 'hub.test', port: 443 }, 'hub.test', ''],
    ['https://hub.test/k8s/c-1/', { host: 'hub.test', port: 443 }, 'hub.test', '/k8s/c-1'],
    ['https://[::1]:6443', { host: '::1', port: 6443 }, '[::1]:6443', ''],
  ])('%s', async (server, address, authority, basePath) => {
    expect(await load({}, { server })).toMatchObject({ address, authority, basePath, proxyUrl: undefined });
  });

  test.each(['http://hub.test', 'hub.test:6443', 'unix:///x'])('%s is refused', async (server) => {
    await expect(load({}, { server })).rejects.toThrow('must be an https:// URL');
  });

  test('by a proxy whose password shows nowhere', async () => {
    const config = await load({}, { 'proxy-url': 'socks5://u:s3cret@proxy:1080' });
    expect(config.proxyUrl?.reveal()).toBe('socks5://u:s3cret@proxy:1080');
    expect(inspect(config, { depth: 9 })).not.toContain('s3cret');
  });

  test('no context, no file, no pod', async () => {
    const path = await write({});
    await writeFile(path, (await readFile(path, 'utf8')).replace('"two"', '"three"'));
    expect(() => loadHubConfig({ kubeconfig: path })).toThrow('no current context');
    expect(() => loadHubConfig({ kubeconfig: join(folder, 'none') })).toThrow('ENOENT');
    vi.stubEnv('KUBERNETES_SERVICE_HOST', undefined);
    expect(() => loadHubConfig({})).toThrow('not a pod');
  });

  test('impersonation is refused, not forgotten', async () => {
    await expect(load({ token: 't', as: 'jane' })).rejects.toThrow('impersonates');
  });
});

describe('tokens', () => {
  test('none, a static one, name and password', async () => {
    expect(await shown(await load({}))).toBeUndefined();
    expect(await shown(await load({ token: 'abc' }))).toBe('Bearer abc');
    const basic = await load({ username: 'jane', password: 'p:w' });
    expect(await shown(basic)).toBe(`Basic ${base64('jane:p:w')}`);
    expect(inspect(await basic.authorization())).toBe('[redacted]');
  });

  test('a file beside the kubeconfig is read again after 10 s, or on 401', async () => {
    const file = join(folder, 'token');
    await writeFile(file, 'one\n');
    const config = await load({ tokenFile: 'token', token: 'static' });
    expect(await shown(config)).toBe('Bearer one');
    await writeFile(file, 'two\n');
    expect(await shown(config)).toBe('Bearer one');
    expect(await shown(config, true)).toBe('Bearer two');
    await writeFile(file, 'three');
    clock += 9_000;
    expect(await shown(config)).toBe('Bearer two');
    clock += 2_000;
    expect(await shown(config)).toBe('Bearer three');
  });

  test.each([
    ['empty', ''],
    ['gone', undefined],
    ['of two lines', 'a\r\nX-Evil: 1'],
    ['of other characters', 'tök'],
  ])('a file that is %s leaves the last one good', async (_name, content) => {
    const file = join(folder, 'token');
    await writeFile(file, 'one');
    const config = await load({ tokenFile: file });
    await config.authorization();
    if (content === undefined) await rm(file);
    else await writeFile(file, content);
    expect(await shown(config, true)).toBe('Bearer one');
  });

  test('and at the start it is an error', async () => {
    const config = await load({ tokenFile: join(folder, 'none') });
    await expect(config.authorization()).rejects.toMatchObject({ kind: 'refused' });
  });

  test('the static one of a kubeconfig that was written anew, on 401', async () => {
    const config = await load({ token: 'one' });
    expect(await shown(config)).toBe('Bearer one');
    await write({ token: 'two' });
    expect(await shown(config)).toBe('Bearer one');
    expect(await shown(config, true)).toBe('Bearer two');
    await write({ token: 'three' });
    // However many answers are 401, the file is read once a second.
    expect(await shown(config, true)).toBe('Bearer two');
    clock += 1_001;
    expect(await shown(config, true)).toBe('Bearer three');
  });

  test('not the one for another server, nor a broken file', async () => {
    const config = await load({ token: 'one' });
    await write({ token: 'evil' }, { server: 'https://other.test' });
    expect(await shown(config, true)).toBe('Bearer one');
    clock += 2_000;
    await writeFile(join(folder, 'config'), '{ half');
    expect(await shown(config, true)).toBe('Bearer one');
  });
});

describe('plugins', () => {
  const counter = () => join(folder, 'runs');
  const runs = async () => (await readFile(counter(), 'utf8')).length;

  async function plugin(status: object, more = ''): Promise<object> {
    const command = join(folder, 'plugin.sh');
    const credential = { apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status };
    await writeFile(
      command,
      `#!/bin/sh\nprintf x >> ${counter()}\n${more}\ncat <<'END'\n${JSON.stringify(credential)}\nEND\n`,
    );
    await chmod(command, 0o755);
    return { exec: { apiVersion: 'client.authentication.k8s.io/v1', command, args: [] } };
  }

  test('one run for all who wait, and for as long as it says; after a 401 it runs again', async () => {
    const config = await load(await plugin({ token: 'from-plugin' }));
    const all = await Promise.all([shown(config), shown(config), config.tls()]);
    expect(all.slice(0, 2)).toEqual(['Bearer from-plugin', 'Bearer from-plugin']);
    clock += 60_000;
    await shown(config);
    expect(await runs()).toBe(1);
    await shown(config, true);
    expect(await runs()).toBe(2);
  });

  test('a certificate', async () => {
    const { client } = await testPki();
    const config = await load(
      await plugin({ clientCertificateData: client.certificatePem, clientKeyData: client.privateKeyPem }),
    );
    expect(await shown(config)).toBeUndefined();
    expect(await config.tls()).toMatchObject({
      certificatePem: client.certificatePem,
      privateKeyPem: client.privateKeyPem,
    });
  });

  test.each([
    ['fails and tells', 'echo s3cret >&2; exit 1'],
    ['gives no JSON', 'echo s3cret'],
  ])('one that %s shows nothing', async (_name, script) => {
    const config = await load(await plugin({ token: 's3cret' }, script));
    const error: unknown = await config.authorization().catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      kind: 'refused',
      message: 'the credential plugin of the kubeconfig failed',
    });
    expect(inspect(error)).not.toContain('s3cret');
  });

  test('one that is not there', async () => {
    const config = await load({ exec: { command: join(folder, 'none') } });
    await expect(config.authorization()).rejects.toThrow('failed: ENOENT');
  });
});

describe('TLS', () => {
  test('data before files, names, and files that change', async () => {
    const { ca, client } = await testPki();
    await writeFile(join(folder, 'ca.crt'), 'file');
    await writeFile(join(folder, 'tls.crt'), client.certificatePem);
    await writeFile(join(folder, 'tls.key'), client.privateKeyPem);
    const config = await load(
      { 'client-certificate': 'tls.crt', 'client-key': 'tls.key' },
      {
        'certificate-authority-data': base64(ca.certificatePem),
        'certificate-authority': 'ca.crt',
        'tls-server-name': 'kubernetes',
      },
    );
    expect(await config.tls()).toEqual({
      ca: ca.certificatePem,
      certificatePem: client.certificatePem,
      privateKeyPem: client.privateKeyPem,
      serverName: 'kubernetes',
    });
    await writeFile(join(folder, 'tls.crt'), 'changed');
    expect(await config.tls()).toMatchObject({ certificatePem: 'changed' });
  });

  test('insecure only where it says so', async () => {
    expect(await (await load({})).tls()).toEqual({});
    expect(await (await load({}, { 'insecure-skip-tls-verify': true })).tls()).toEqual({ insecure: true });
    expect(await (await load({}, { 'insecure-skip-tls-verify': 'true' })).tls()).toEqual({});
  });
});

test('in a pod: the service account, whose token rotates', async () => {
  const { ca } = await testPki();
  const mount = join(folder, 'var/run/secrets/kubernetes.io/serviceaccount');
  await mkdir(mount, { recursive: true });
  await writeFile(join(mount, 'ca.crt'), ca.certificatePem);
  await writeFile(join(mount, 'token'), 'one\n');
  let good = 'Bearer one';
  const hub = await startHub((call) =>
    call.headers.authorization === good ? call.json({ ok: true }) : call.refuse(401, 'Unauthorized'),
  );
  vi.stubEnv('KUBERNETES_SERVICE_HOST', '127.0.0.1');
  vi.stubEnv('KUBERNETES_SERVICE_PORT', String(hub.port));
  const config = loadHubConfig({ podRoot: folder });
  const client = closeAtEnd(createHubClient({ config, userAgent: 'test/1', log: silentLog }));
  const get = () => client.request({ method: 'GET', path: '/', signal: new AbortController().signal });
  expect(await get()).toEqual({ ok: true });
  await writeFile(join(mount, 'token'), 'two\n');
  good = 'Bearer two';
  expect(await get()).toEqual({ ok: true });
  expect(hub.calls).toHaveLength(3);
});
