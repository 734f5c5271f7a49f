import { once } from 'node:events';
import { createServer as createTlsServer } from 'node:tls';
import type { Server as TlsServer, TLSSocket, TlsOptions } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import { issueCertificate } from '../pki/issue.ts';
import { createTcpDial } from './dial-tcp.ts';
import { connectTls, createClientTls } from './tls.ts';
import type { ClientTls, TlsConnectOptions } from './tls.ts';
import { testPki } from './testing/certificates.ts';
import { eventually, listen, startTcp } from './testing/servers.ts';
import { failureOf } from './testing/streams.ts';
import { throughDuplex } from './testing/tunnels.ts';
import type { TestServer } from './testing/servers.ts';

const never = new AbortController().signal;

interface TestTlsServer extends TestServer<TlsServer> {
  readonly names: (string | false | undefined)[];
  readonly resumed: boolean[];
}

async function startTls(options: TlsOptions = {}): Promise<TestTlsServer> {
  const { server: identity } = await testPki();
  const names: (string | false | undefined)[] = [];
  const resumed: boolean[] = [];
  const server = createTlsServer(
    {
      key: identity.privateKeyPem,
      cert: identity.certificatePem,
      ALPNProtocols: ['h2', 'http/1.1'],
      ...options,
    },
    (socket) => {
      names.push((socket as { servername?: string | false }).servername);
      resumed.push(socket.isSessionReused());
      socket.on('error', () => undefined);
      socket.pipe(socket);
    },
  );
  server.on('tlsClientError', () => undefined);
  return { ...(await listen(server)), names, resumed };
}

type More = Partial<TlsConnectOptions>;

async function handshake(server: TestServer<TlsServer>, tls: ClientTls, more: More = {}): Promise<TLSSocket> {
  const stream = await createTcpDial()(server.address, never);
  return connectTls(stream, { tls, host: '127.0.0.1', alpn: ['h2'], signal: never, ...more });
}

async function expectUntrusted(server: TestTlsServer, tls: ClientTls, message: string, more: More = {}) {
  const failure = await failureOf(handshake(server, tls, more));
  expect(failure).toMatchObject({ kind: 'untrusted', sent: false });
  expect(failure.message).toBe(`tls: failed to verify certificate: x509: ${message}`);
  await eventually(() => server.sockets.size === 0);
}

describe('the server’s certificate', () => {
  test('by IP address, without SNI', async () => {
    const { ca } = await testPki();
    const server = await startTls();
    const socket = await handshake(server, createClientTls({ ca: ca.certificatePem }));
    expect(socket.alpnProtocol).toBe('h2');
    await eventually(() => server.names.length === 1);
    expect(server.names).toEqual([false]);
    socket.destroy();
  });

  test('by name, and by another name than the one that is dialled', async () => {
    const { ca } = await testPki();
    const server = await startTls();
    const byName = await handshake(server, createClientTls({ ca: ca.certificatePem }), { host: 'localhost' });
    const other = createClientTls({ ca: ca.certificatePem, serverName: 'localhost' });
    const byOther = await handshake(server, other, { host: '10.0.0.1' });
    await eventually(() => server.names.length === 2);
    expect(server.names).toEqual(['localhost', 'localhost']);
    byName.destroy();
    byOther.destroy();
  });

  test('unknown authority', async () => {
    const server = await startTls();
    const other = await issueCertificate({ commonName: 'other', ca: true });
    const message = 'certificate signed by unknown authority';
    await expectUntrusted(server, createClientTls({ ca: other.certificatePem }), message);
    await expectUntrusted(server, createClientTls(), message);
  });

  test('expired', async () => {
    const { ca } = await testPki();
    const identity = await issueCertificate(
      {
        commonName: 'old',
        ipAddresses: ['127.0.0.1'],
        notBefore: new Date(Date.now() - 2 * 86_400_000),
        notAfter: new Date(Date.now() - 86_400_000),
      },
      { issuer: ca },
    );
    const server = await startTls({ key: identity.privateKeyPem, cert: identity.certificatePem });
    const tls = createClientTls({ ca: ca.certificatePem });
    await expectUntrusted(server, tls, 'certificate has expired or is not yet valid');
  });

  test('another name or address', async () => {
    const { ca } = await testPki();
    const server = await startTls();
    const tls = createClientTls({ ca: ca.certificatePem });
    await expectUntrusted(server, tls, 'certificate is valid for localhost, not evil.test', {
      host: 'evil.test',
    });
    await expectUntrusted(server, tls, 'certificate is valid for 127.0.0.1, not 10.0.0.1', {
      host: '10.0.0.1',
    });
  });

  test('a common name is no name', async () => {
    const { ca } = await testPki();
    const identity = await issueCertificate({ commonName: 'localhost' }, { issuer: ca });
    const server = await startTls({ key: identity.privateKeyPem, cert: identity.certificatePem });
    const tls = createClientTls({ ca: ca.certificatePem });
    await expectUntrusted(
      server,
      tls,
      'certificate is not valid for any names, but wanted to match localhost',
      { host: 'localhost' },
    );
    await expectUntrusted(
      server,
      tls,
      "cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
    );
  });

  test('any, when told so', async () => {
    const server = await startTls();
    const socket = await handshake(server, createClientTls({ insecure: true }), { host: 'evil.test' });
    socket.destroy();
  });
});

describe('our certificate', () => {
  test('is shown', async () => {
    const { ca, client } = await testPki();
    const server = await startTls({ requestCert: true, rejectUnauthorized: true, ca: ca.certificatePem });
    const tls = createClientTls({ ca: ca.certificatePem, ...client });
    const socket = await handshake(server, tls);
    socket.write('hello');
    expect(String((await once(socket, 'data'))[0])).toBe('hello');
    socket.destroy();
  });

  test.each([
    ['a key without a certificate', { privateKeyPem: 'x' }],
    ['no PEM', { certificatePem: 'x', privateKeyPem: 'y' }],
    ['an authority that is none', { ca: 'garbage' }],
    ['an empty authority', { ca: '' }],
  ])('bad material: %s', (_what, options) => {
    expect(() => createClientTls(options)).toThrow(Failure);
  });

  test('a key that belongs to another certificate; the message does not hold it', async () => {
    const { client, server } = await testPki();
    const make = () =>
      createClientTls({ certificatePem: client.certificatePem, privateKeyPem: server.privateKeyPem });
    expect(make).toThrow(Failure);
    expect(make).not.toThrow(server.privateKeyPem.slice(40, 80));
  });
});

describe('handshakes that fail', () => {
  test('a peer that says nothing', async () => {
    const server = await startTcp((socket) => socket.resume());
    const stream = await createTcpDial()(server.address, never);
    const failure = await failureOf(
      connectTls(stream, {
        tls: createClientTls(),
        host: 'x.test',
        alpn: ['h2'],
        signal: never,
        timeoutMs: 50,
      }),
    );
    expect(failure).toMatchObject({ kind: 'timeout', message: 'net/http: TLS handshake timeout' });
    await eventually(() => server.sockets.size === 0);
  });

  test.each([
    ['closes', '', /^tls handshake: /],
    [
      'speaks plain HTTP',
      'HTTP/1.1 400 Bad Request\r\n\r\n',
      /first record does not look like a TLS handshake/,
    ],
  ])('a peer that %s', async (_what, answer, text) => {
    const server = await startTcp((socket) => socket.once('data', () => socket.end(answer)));
    const stream = await createTcpDial()(server.address, never);
    const failure = await failureOf(
      connectTls(stream, { tls: createClientTls(), host: 'x.test', alpn: ['h2'], signal: never }),
    );
    expect(failure.kind).toBe('unreachable');
    expect(failure.message).toMatch(text);
    await eventually(() => server.sockets.size === 0);
  });

  test('cancelled, before and while', async () => {
    const server = await startTcp((socket) => socket.resume());
    const tls = createClientTls();
    const controller = new AbortController();
    const options = { tls, host: 'x.test', alpn: ['h2'], signal: controller.signal };
    const running = failureOf(connectTls(await createTcpDial()(server.address, never), options));
    await eventually(() => server.sockets.size === 1);
    controller.abort();
    expect((await running).kind).toBe('cancelled');
    const late = await failureOf(connectTls(await createTcpDial()(server.address, never), options));
    expect(late.kind).toBe('cancelled');
    await eventually(() => server.sockets.size === 0);
  });
});

test('a second connection resumes the session of the first', async () => {
  const { ca } = await testPki();
  const server = await startTls();
  const tls = createClientTls({ ca: ca.certificatePem });
  const first = await handshake(server, tls);
  await eventually(() => tls.sessions.size > 0);
  const second = await handshake(server, tls);
  const otherName = await handshake(server, tls, { host: 'localhost' });
  await eventually(() => server.resumed.length === 3);
  expect(server.resumed).toEqual([false, true, false]);
  for (const socket of [first, second, otherName]) socket.destroy();
});

test('runs over any byte stream, and ends it', async () => {
  const { ca } = await testPki();
  const server = await startTls();
  const raw = await createTcpDial()(server.address, never);
  const stream = throughDuplex(raw);
  const tls = createClientTls({ ca: ca.certificatePem });
  const socket = await connectTls(stream, { tls, host: '127.0.0.1', alpn: ['h2'], signal: never });
  socket.write('hello');
  expect(String((await once(socket, 'data'))[0])).toBe('hello');
  socket.destroy();
  await eventually(() => stream.destroyed && server.sockets.size === 0);
});
