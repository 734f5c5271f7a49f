import { constants, X509Certificate } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import type { TLSSocket, TlsOptions } from 'node:tls';
import { beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate } from './issue.ts';
import type { IssuedCertificate } from './issue.ts';
import { presentedChain } from './presented-chain.ts';
import { createChainVerifier } from './verify-chain.ts';

let ca: IssuedCertificate;
let middle: IssuedCertificate;
let server: IssuedCertificate;
let jane: IssuedCertificate;

beforeAll(async () => {
  ca = await issueCertificate({ commonName: 'ca', ca: true });
  middle = await issueCertificate({ commonName: 'middle', ca: true }, { issuer: ca });
  server = await issueCertificate({ commonName: 'server', dnsNames: ['localhost'] }, { issuer: ca });
  jane = await issueCertificate({ commonName: 'jane', usages: ['clientAuth'] }, { issuer: middle });
});

interface Sight {
  readonly resumed: boolean;
  readonly accepted: boolean;
  readonly chain: readonly X509Certificate[];
}

/** Connects twice, the second time with the session of the first, and tells what the server saw. */
async function connectTwice(clientPem: string | undefined, options: TlsOptions): Promise<Sight[]> {
  const verifier = createChainVerifier(ca.certificatePem, { purpose: 'client' });
  const sights: Sight[] = [];
  const listener = createServer({
    cert: server.certificatePem,
    key: server.privateKeyPem,
    requestCert: true,
    rejectUnauthorized: false,
    ...options,
  });
  listener.on('secureConnection', (socket: TLSSocket) => {
    const chain = presentedChain(socket);
    sights.push({ resumed: socket.isSessionReused(), accepted: verifier.verify(chain).ok, chain });
    socket.end('seen');
  });
  await new Promise<void>((listening) => listener.listen(0, '127.0.0.1', listening));
  const { port } = listener.address() as AddressInfo;
  let session: Buffer | undefined;
  for (let index = 0; index < 2; index++) {
    const identity = clientPem === undefined ? {} : { cert: clientPem, key: jane.privateKeyPem };
    const resume = session ? { session } : {};
    const socket = connect({ port, servername: 'localhost', ca: ca.certificatePem, ...identity, ...resume });
    socket.on('session', (fresh) => (session = fresh)).resume();
    await new Promise((closed) => socket.once('close', closed));
  }
  await new Promise((closed) => listener.close(closed));
  return sights;
}

const pemOf = (...certificates: readonly IssuedCertificate[]) =>
  certificates.map(({ certificatePem }) => certificatePem).join('');
const fingerprints = (chain: readonly X509Certificate[]) => chain.map(({ fingerprint256 }) => fingerprint256);

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('%s', (maxVersion) => {
  test('what the client presented, leaf first', async () => {
    const [first] = await connectTwice(pemOf(jane, middle, ca), { maxVersion });
    const sent = [jane, middle, ca].map(({ certificatePem }) => new X509Certificate(certificatePem));
    expect(fingerprints(first?.chain ?? [])).toEqual(fingerprints(sent));
    expect(first?.accepted).toBe(true);
  });

  test('nothing when the client presented nothing', async () => {
    const sights = await connectTwice(undefined, { maxVersion });
    expect(sights.map(({ chain, accepted }) => [chain, accepted])).toEqual([
      [[], false],
      [[], false],
    ]);
  });

  test('a resumed session has lost its intermediate certificates', async () => {
    // Should this fail one day, the option below is no longer needed.
    const [, second] = await connectTwice(pemOf(jane, middle), { maxVersion });
    expect([second?.resumed, second?.chain.length, second?.accepted]).toEqual([true, 1, false]);
  });

  test('without tickets there is no such session', async () => {
    const secureOptions = constants.SSL_OP_NO_TICKET;
    const sights = await connectTwice(pemOf(jane, middle), { maxVersion, secureOptions });
    expect(sights.map(({ resumed, accepted }) => [resumed, accepted])).toEqual([
      [false, true],
      [false, true],
    ]);
  });
});

test('no more than sixteen certificates are looked at', () => {
  const endless = new X509Certificate(jane.certificatePem);
  Object.defineProperty(endless, 'issuerCertificate', { value: endless });
  expect(presentedChain({ getPeerX509Certificate: () => endless })).toHaveLength(16);
});
