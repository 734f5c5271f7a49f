import { X509Certificate, createHash } from 'node:crypto';
import https from 'node:https';
import { beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate } from '../pki/issue.ts';
import type { IssuedCertificate } from '../pki/issue.ts';
import type { Authentication } from './authenticator.ts';
import { createClientCertificateMethod } from './client-certificate.ts';
import { callHttp1, callHttp2, serve } from './testing/served.ts';
import type { CallOptions } from './testing/served.ts';

let ca: IssuedCertificate;
let otherCa: IssuedCertificate;
let jane: IssuedCertificate;
let currentCa: string | undefined;

beforeAll(async () => {
  ca = await issueCertificate({ commonName: 'client-ca', ca: true });
  otherCa = await issueCertificate({ commonName: 'client-ca', ca: true });
  jane = await issueCertificate(
    { commonName: 'jane', organizations: ['dev', 'ops, night'], usages: ['clientAuth'] },
    { issuer: ca },
  );
});

async function start(): Promise<number> {
  const method = createClientCertificateMethod(() => currentCa);
  return serve((exchange) => {
    void Promise.resolve(method(exchange)).then((found) => exchange.respond(200, [], JSON.stringify(found)));
  });
}

async function ask(options: CallOptions, call: typeof callHttp1 = callHttp1): Promise<Authentication> {
  currentCa ??= ca.certificatePem;
  const { body } = await call(await start(), options);
  return JSON.parse(body) as Authentication;
}

describe('client certificates', () => {
  test.each([
    ['HTTP/1.1', callHttp1],
    ['HTTP/2', callHttp2],
  ] as const)('the common name is the user, organizations are groups (%s)', async (_, call) => {
    const der = new X509Certificate(jane.certificatePem).raw;
    const sha256 = createHash('sha256').update(der).digest('hex');
    expect(await ask({ clientCertificates: [jane] }, call)).toEqual({
      type: 'authenticated',
      user: {
        name: 'jane',
        groups: ['dev', 'ops, night'],
        extra: { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${sha256}`] },
      },
    });
  });

  test('identity headers say nothing here', async () => {
    const found = await ask({
      clientCertificates: [jane],
      headers: { 'X-Remote-User': 'admin', 'X-Remote-Group': 'system:masters' },
    });
    expect(found).toMatchObject({ user: { name: 'jane', groups: ['dev', 'ops, night'] } });
  });

  test('no certificate', async () => {
    expect(await ask({})).toEqual({ type: 'none' });
  });

  test('a certificate without a common name names nobody', async () => {
    const nameless = await issueCertificate(
      { commonName: '', organizations: ['system:masters'], usages: ['clientAuth'] },
      { issuer: ca },
    );
    expect(await ask({ clientCertificates: [nameless] })).toEqual({ type: 'none' });
  });

  test.each([
    ['of another CA', { usages: ['clientAuth'] }, 'is signed by an unknown authority'],
    ['for servers only', { usages: ['serverAuth'] }, 'is not for client authentication'],
    [
      'expired',
      { usages: ['clientAuth'], notBefore: new Date(0), notAfter: new Date(86_400_000) },
      'has expired',
    ],
    ['not yet valid', { usages: ['clientAuth'], notBefore: new Date('2090-01-01') }, 'is not yet valid'],
  ] as const)('%s', async (name, profile, reason) => {
    const issuer = name === 'of another CA' ? otherCa : ca;
    const certificate = await issueCertificate(
      { validDays: 40_000, ...profile, usages: [...profile.usages], commonName: 'jane' },
      { issuer },
    );
    expect(await ask({ clientCertificates: [certificate] })).toEqual({
      type: 'rejected',
      reason: `client certificate: the certificate ${reason}`,
    });
  });

  test('a user cannot issue certificates', async () => {
    const forged = await issueCertificate(
      { commonName: 'admin', organizations: ['system:masters'], usages: ['clientAuth'] },
      { issuer: jane },
    );
    expect(await ask({ clientCertificates: [forged, jane] })).toMatchObject({ type: 'rejected' });
  });

  test('a new CA counts at the next request of a connection that stays', async () => {
    currentCa = ca.certificatePem;
    const port = await start();
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    const once = async () => {
      const { body } = await callHttp1(port, { clientCertificates: [jane], agent });
      return (JSON.parse(body) as Authentication).type;
    };
    try {
      expect(await once()).toBe('authenticated');
      currentCa = otherCa.certificatePem;
      expect(await once()).toBe('rejected');
      currentCa = undefined;
      expect(await once()).toBe('none');
      currentCa = ca.certificatePem + otherCa.certificatePem;
      expect(await once()).toBe('authenticated');
    } finally {
      agent.destroy();
    }
  });
});
