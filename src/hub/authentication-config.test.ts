import { describe, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { testPki } from '../net/testing/certificates.ts';
import { createAuthenticationConfigReader, decodeAuthenticationConfig } from './authentication-config.ts';
import type { AuthenticationConfig } from './authentication-config.ts';
import { closeAtEnd, eventually, startHub } from './testing/fake-hub.ts';

const never = new AbortController().signal;
const pem = (await testPki()).ca.certificatePem;
const full = {
  'client-ca-file': pem,
  'requestheader-client-ca-file': pem + pem,
  'requestheader-username-headers': '["X-Remote-User"]',
  'requestheader-group-headers': '["X-Remote-Group","X-More"]',
  'requestheader-extra-headers-prefix': '["X-Remote-Extra-"]',
  'requestheader-allowed-names': '["front-proxy-client"]',
};
const configMap = (data: unknown, resourceVersion = '5') => ({
  metadata: { name: 'extension-apiserver-authentication', namespace: 'kube-system', resourceVersion },
  ...(data === undefined ? {} : { data }),
});

describe('the ConfigMap', () => {
  test('whole', () => {
    expect(decodeAuthenticationConfig(configMap(full))).toEqual({
      clientCa: pem,
      requestHeader: {
        caPem: pem + pem,
        usernameHeaders: ['X-Remote-User'],
        groupHeaders: ['X-Remote-Group', 'X-More'],
        extraHeaderPrefixes: ['X-Remote-Extra-'],
        uidHeaders: [],
        allowedNames: ['front-proxy-client'],
      },
    });
  });

  test('uid headers count where the hub names them', () => {
    const found = decodeAuthenticationConfig(
      configMap({ ...full, 'requestheader-uid-headers': '["X-Remote-Uid"]' }),
    );
    expect(found.requestHeader?.uidHeaders).toEqual(['X-Remote-Uid']);
  });

  test('no request-header CA: no front proxy', () => {
    const without = { ...full, 'requestheader-client-ca-file': undefined };
    const sent = JSON.parse(JSON.stringify(configMap(without))) as unknown;
    expect(decodeAuthenticationConfig(sent).requestHeader).toBeUndefined();
    const empty = decodeAuthenticationConfig(configMap({ ...full, 'requestheader-client-ca-file': ' \n' }));
    expect(empty.requestHeader).toBeUndefined();
  });

  test('no client CA', () => {
    expect(decodeAuthenticationConfig(configMap({}))).toEqual({
      clientCa: undefined,
      requestHeader: undefined,
    });
  });

  test.each([
    ['no data', undefined],
    ['data that is none', 'x'],
    ['a number', { 'client-ca-file': 5 }],
    ['headers that are no JSON', { ...full, 'requestheader-username-headers': 'X-Remote-User' }],
    ['headers that are no list', { ...full, 'requestheader-group-headers': '"X-Remote-Group"' }],
    ['headers that are no texts', { ...full, 'requestheader-extra-headers-prefix': '[1]' }],
    ['an empty prefix, which every header has', { ...full, 'requestheader-extra-headers-prefix': '[""]' }],
    ['names that are no JSON, which would let any name in', { ...full, 'requestheader-allowed-names': 'x' }],
    ['a CA that is none', { ...full, 'requestheader-client-ca-file': 'not a certificate' }],
    ['a broken certificate among good ones', { ...full, 'client-ca-file': pem + pem.replace(/MII/, 'XXX') }],
  ])('%s is refused', (_name, data) => {
    expect(() => decodeAuthenticationConfig(configMap(data))).toThrow();
  });
});

async function follow() {
  const hub = await startHub();
  const client = await hub.client();
  const reader = closeAtEnd(createAuthenticationConfigReader({ client, log: silentLog }));
  const heard: AuthenticationConfig[] = [];
  reader.subscribe((config) => heard.push(config));
  const list = await hub.next();
  const listed = (...items: unknown[]) => list.json({ metadata: { resourceVersion: '10' }, items });
  return { hub, reader, heard, list, listed };
}

describe('following it', () => {
  test('asks for that one object only', async () => {
    const { list, listed, reader } = await follow();
    expect(list.path).toBe('/api/v1/namespaces/kube-system/configmaps');
    expect(list.query.get('fieldSelector')).toBe('metadata.name=extension-apiserver-authentication');
    expect(reader.current()).toBeUndefined();
    listed(configMap(full));
    await reader.synced(never);
    expect(reader.current()?.clientCa).toBe(pem);
  });

  test('missing at first: synced, and nobody is believed until it appears', async () => {
    const { hub, listed, reader, heard } = await follow();
    listed();
    await reader.synced(never);
    expect(reader.current()).toBeUndefined();
    (await hub.next()).events({ type: 'ADDED', object: configMap(full, '11') });
    await eventually(() => heard.length === 1);
    expect(reader.current()).toBe(heard[0]);
  });

  test('a change counts at once; a bad one and a deletion keep the last good value', async () => {
    const { hub, listed, reader, heard } = await follow();
    listed(configMap(full));
    const watch = await hub.next();
    const event = (type: string, version: string, data: unknown) =>
      watch.events({ type, object: configMap(data, version) });
    const changed = { ...full, 'requestheader-allowed-names': '["a","b"]' };
    event('MODIFIED', '11', changed);
    await eventually(() => heard.length === 2);
    expect(reader.current()?.requestHeader?.allowedNames).toEqual(['a', 'b']);
    const good = reader.current();
    event('MODIFIED', '12', { ...full, 'requestheader-allowed-names': '[]', 'client-ca-file': 'garbage' });
    event('MODIFIED', '13', undefined);
    event('DELETED', '14', full);
    watch.events({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '20' } } });
    watch.end();
    expect((await hub.next()).query.get('resourceVersion')).toBe('20');
    expect(reader.current()).toBe(good);
    expect(heard).toHaveLength(2);
  });

  test('a good one without a request-header CA ends the belief in front proxies', async () => {
    const { hub, listed, reader, heard } = await follow();
    listed(configMap(full));
    (await hub.next()).events({ type: 'MODIFIED', object: configMap({ 'client-ca-file': pem }, '11') });
    await eventually(() => heard.length === 2);
    expect(reader.current()).toEqual({ clientCa: pem, requestHeader: undefined });
  });

  test('a list after 410 that holds the same is the same object', async () => {
    const { hub, listed, reader } = await follow();
    listed(configMap(full));
    const first = await hub.next();
    const before = reader.current();
    first.refuse(410, 'Expired');
    (await hub.next()).json({ metadata: { resourceVersion: '30' }, items: [configMap(full)] });
    await hub.next();
    expect(reader.current()).toBe(before);
  });
});
