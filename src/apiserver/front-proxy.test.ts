import https from 'node:https';
import { beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate } from '../pki/issue.ts';
import type { IssuedCertificate } from '../pki/issue.ts';
import { createAuthenticator } from './authenticator.ts';
import type { Authentication } from './authenticator.ts';
import { createFrontProxyMethod } from './front-proxy.ts';
import type { RequestHeaderSettings } from '../hub/authentication-config.ts';
import { callHttp1, callHttp2, serve } from './testing/served.ts';
import type { CallOptions } from './testing/served.ts';

let ca: IssuedCertificate;
let otherCa: IssuedCertificate;
let proxy: IssuedCertificate;
let config: RequestHeaderSettings | undefined;

beforeAll(async () => {
  ca = await issueCertificate({ commonName: 'front-proxy-ca', ca: true });
  otherCa = await issueCertificate({ commonName: 'front-proxy-ca', ca: true });
  proxy = await issueCertificate(
    { commonName: 'front-proxy-client', usages: ['clientAuth'] },
    { issuer: ca },
  );
});

const configOf = (more: Partial<RequestHeaderSettings> = {}): RequestHeaderSettings => ({
  caPem: ca.certificatePem,
  usernameHeaders: ['X-Remote-User'],
  groupHeaders: ['X-Remote-Group'],
  extraHeaderPrefixes: ['X-Remote-Extra-'],
  uidHeaders: [],
  allowedNames: ['front-proxy-client'],
  ...more,
});

/** Serves what the method finds. */
async function start(): Promise<number> {
  const method = createFrontProxyMethod(() => config);
  return serve((exchange) => {
    void Promise.resolve(method(exchange)).then((found) => exchange.respond(200, [], JSON.stringify(found)));
  });
}

async function ask(
  options: CallOptions,
  more: Partial<RequestHeaderSettings> = {},
  call: typeof callHttp1 = callHttp1,
): Promise<Authentication> {
  config = configOf(more);
  const { body } = await call(await start(), options);
  return JSON.parse(body) as Authentication;
}

const protocols = [
  ['HTTP/1.1', callHttp1],
  ['HTTP/2', callHttp2],
] as const;
const jane = { 'X-Remote-User': 'jane' };

describe('the certificate of a front proxy', () => {
  test.each(protocols)('the right one speaks for its caller (%s)', async (_, call) => {
    expect(await ask({ headers: jane, clientCertificates: [proxy] }, {}, call)).toEqual({
      type: 'authenticated',
      frontProxy: true,
      user: { name: 'jane', groups: [] },
    });
  });

  test('none: headers alone say nothing', async () => {
    expect(await ask({ headers: jane })).toEqual({ type: 'none' });
  });

  const rejected = async (profile: Parameters<typeof issueCertificate>[0], issuer: IssuedCertificate) => {
    const certificate = await issueCertificate(profile, { issuer });
    return ask({ headers: jane, clientCertificates: [certificate] });
  };

  test('right CA, wrong common name', async () => {
    expect(await rejected({ commonName: 'jane', usages: ['clientAuth'] }, ca)).toEqual({
      type: 'rejected',
      reason: 'front proxy certificate: its common name is not allowed',
    });
  });

  test('another CA of the same name', async () => {
    expect(await rejected({ commonName: 'front-proxy-client', usages: ['clientAuth'] }, otherCa)).toEqual({
      type: 'rejected',
      reason: 'front proxy certificate: the certificate is signed by an unknown authority',
    });
  });

  test('for servers only', async () => {
    expect(await rejected({ commonName: 'front-proxy-client', usages: ['serverAuth'] }, ca)).toEqual({
      type: 'rejected',
      reason: 'front proxy certificate: the certificate is not for client authentication',
    });
  });

  test('expired', async () => {
    const notAfter = new Date(Date.now() - 60_000);
    const notBefore = new Date(Date.now() - 3_600_000);
    expect(
      await rejected({ commonName: 'front-proxy-client', usages: ['clientAuth'], notBefore, notAfter }, ca),
    ).toEqual({ type: 'rejected', reason: 'front proxy certificate: the certificate has expired' });
  });

  test('signed by the allowed certificate itself, which is no CA', async () => {
    const certificate = await issueCertificate(
      { commonName: 'front-proxy-client', usages: ['clientAuth'] },
      { issuer: proxy },
    );
    const found = await ask({ headers: jane, clientCertificates: [certificate, proxy] });
    expect(found.type).toBe('rejected');
  });

  test('through an intermediate authority that was presented along', async () => {
    const intermediate = await issueCertificate({ commonName: 'intermediate', ca: true }, { issuer: ca });
    const leaf = await issueCertificate(
      { commonName: 'front-proxy-client', usages: ['clientAuth'] },
      { issuer: intermediate },
    );
    expect(await ask({ headers: jane, clientCertificates: [leaf, intermediate] })).toMatchObject({
      type: 'authenticated',
    });
    expect(await ask({ headers: jane, clientCertificates: [leaf] })).toMatchObject({ type: 'rejected' });
  });

  test('an empty list of names allows every certificate of the CA', async () => {
    const certificate = await issueCertificate(
      { commonName: 'anybody', usages: ['clientAuth'] },
      { issuer: ca },
    );
    const found = await ask({ headers: jane, clientCertificates: [certificate] }, { allowedNames: [] });
    expect(found).toMatchObject({ type: 'authenticated', user: { name: 'jane' } });
  });

  test('while the hub names no front proxy nobody is one', async () => {
    config = undefined;
    const { body } = await callHttp1(await start(), { headers: jane, clientCertificates: [proxy] });
    expect(JSON.parse(body)).toEqual({ type: 'none' });
  });

  test('a rotated CA counts at the next request of a connection that stays', async () => {
    config = configOf();
    const port = await start();
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    const once = async () => {
      const { body } = await callHttp1(port, { headers: jane, clientCertificates: [proxy], agent });
      return (JSON.parse(body) as Authentication).type;
    };
    try {
      expect(await once()).toBe('authenticated');
      const sockets = Object.values(agent.freeSockets).flat();
      config = configOf({ caPem: otherCa.certificatePem });
      expect(await once()).toBe('rejected');
      config = configOf({ caPem: otherCa.certificatePem + ca.certificatePem });
      expect(await once()).toBe('authenticated');
      config = configOf({ allowedNames: ['another'] });
      expect(await once()).toBe('rejected');
      expect(Object.values(agent.freeSockets).flat()).toEqual(sockets);
    } finally {
      agent.destroy();
    }
  });

  test('a CA that cannot be read lets nobody in', async () => {
    const found = await ask(
      { headers: jane, clientCertificates: [proxy] },
      { caPem: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
    ).catch(() => ({ type: 'error' }));
    expect(found.type).not.toBe('authenticated');
  });
});

describe('who the caller is', () => {
  const userOf = async (
    headers: NonNullable<CallOptions['headers']>,
    more: Partial<RequestHeaderSettings> = {},
    call: typeof callHttp1 = callHttp1,
  ) => {
    const found = await ask({ headers, clientCertificates: [proxy] }, more, call);
    return found.type === 'authenticated' ? found.user : found.type;
  };

  test.each(protocols)('names and values are UTF-8, keys percent-encoded (%s)', async (_, call) => {
    const user = await userOf(
      {
        'x-remote-user': 'jané用户',
        'x-remote-group': ['a, b', 'dév', 'a, b'],
        'x-remote-extra-example.com%2fsome%25key': ['1', '2, 3'],
        'x-remote-extra-scopes': 'é',
        'x-remote-extra-100%': 'raw',
      },
      {},
      call,
    );
    expect(user).toEqual({
      name: 'jané用户',
      groups: ['a, b', 'dév', 'a, b'],
      extra: { 'example.com/some%key': ['1', '2, 3'], scopes: ['é'], '100%': ['raw'] },
    });
  });

  test('no user header, or an empty one, says nothing', async () => {
    expect(await userOf({ 'X-Remote-Group': 'system:masters' })).toBe('none');
    expect(await userOf({ 'X-Remote-User': '' })).toBe('none');
  });

  test('the first user counts; every group header counts, in the order of the configuration', async () => {
    const groupHeaders = ['X-Group-B', 'X-Group-A'];
    const usernameHeaders = ['X-User-1', 'X-User-2'];
    const headers = {
      'X-User-2': 'second',
      'X-User-1': ['', 'first', 'other'],
      'X-Group-A': ['a1', '', 'a2'],
      'X-Group-B': 'b',
    };
    expect(await userOf(headers, { groupHeaders, usernameHeaders })).toEqual({
      name: 'first',
      groups: ['b', 'a1', 'a2'],
    });
  });

  test('the UID is read only where the hub names its header', async () => {
    const headers = { ...jane, 'X-Remote-Uid': '42' };
    expect(await userOf(headers)).toEqual({ name: 'jane', groups: [] });
    expect(await userOf(headers, { uidHeaders: ['X-Remote-Uid'] })).toEqual({
      name: 'jane',
      groups: [],
      uid: '42',
    });
  });

  test('keys that mean something to JavaScript are keys like others', async () => {
    const user = await userOf({
      ...jane,
      'X-Remote-Extra-__proto__': 'x',
      'X-Remote-Extra-constructor': 'y',
    });
    expect(JSON.stringify(user)).toContain('"__proto__":["x"]');
    expect(JSON.stringify(user)).toContain('"constructor":["y"]');
  });

  test('a user of a front proxy is in system:authenticated, and groupless callers too', async () => {
    config = configOf();
    const authenticate = createAuthenticator({
      methods: [createFrontProxyMethod(() => config)],
      allowAnonymous: true,
    });
    const port = await serve((exchange) => {
      void authenticate(exchange).then((caller) => exchange.respond(200, [], JSON.stringify(caller)));
    });
    const { body } = await callHttp1(port, {
      headers: { 'X-Remote-User': 'system:aggregator' },
      clientCertificates: [proxy],
    });
    expect(JSON.parse(body)).toEqual({
      frontProxy: true,
      user: { name: 'system:aggregator', groups: ['system:authenticated'] },
    });
  });
});
