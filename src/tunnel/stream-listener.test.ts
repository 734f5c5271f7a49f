import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { connect as connectTcp, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { testPki } from '../net/testing/certificates.ts';
import { eventually, onTestEnd } from '../net/testing/servers.ts';
import { issueCertificate } from '../pki/issue.ts';
import { listenForStreams } from './stream-listener.ts';
import type { AcceptedConnection, ServerTls, StreamListenerOptions } from './stream-listener.ts';

/** Says each line again, and notes who came. */
async function listen(options: Partial<StreamListenerOptions> = {}) {
  const accepted: AcceptedConnection[] = [];
  const listener = await listenForStreams({
    address: { type: 'tcp', host: '127.0.0.1', port: 0 },
    tls: undefined,
    alpn: ['h2'],
    handshakeTimeoutMs: 5_000,
    maxConnections: 100,
    log: silentLog,
    onConnection: (connection) => {
      accepted.push(connection);
      connection.socket.on('data', (chunk: Buffer) => connection.socket.write(chunk));
    },
    ...options,
  });
  onTestEnd(() => listener.destroy());
  return { listener, accepted };
}

async function serverTls(options: Partial<ServerTls> = {}): Promise<ServerTls> {
  const { server } = await testPki();
  return {
    ...{ certificatePem: server.certificatePem, privateKeyPem: server.privateKeyPem, clientCaPem: undefined },
    ...{ minVersion: 'TLSv1.2', cipherSuites: [] },
    ...options,
  };
}

/** Connects, and is there once the server has answered: with TLS 1.3 a client is refused behind the handshake. */
async function talk(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const { ca } = await testPki();
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    ca: ca.certificatePem,
    ALPNProtocols: ['h2'],
    ...options,
  });
  onTestEnd(() => void socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  expect(await echoed(socket)).toBe('hello');
  return socket;
}

async function echoed(socket: Duplex): Promise<string> {
  const answer = Promise.race([once(socket, 'data'), once(socket, 'close').then(() => ['closed'])]);
  socket.write('hello');
  return String((await answer)[0]);
}

const closed = (socket: Socket) => (socket.closed ? Promise.resolve() : once(socket, 'close'));

describe('TLS', () => {
  test('without an authority for clients asks none of them for a certificate', async () => {
    const { listener, accepted } = await listen({ tls: await serverTls() });
    const { client } = await testPki();
    const socket = await talk(listener.port, { cert: client.certificatePem, key: client.privateKeyPem });
    expect([socket.alpnProtocol, socket.getProtocol()]).toEqual(['h2', 'TLSv1.3']);
    expect(
      accepted.map(({ alpn, certificate, remoteAddress }) => [alpn, certificate, remoteAddress]),
    ).toEqual([['h2', undefined, '127.0.0.1']]);
    expect((accepted[0]?.socket as TLSSocket).getPeerX509Certificate()).toBeUndefined();
  });

  test('with one lets in who has a certificate of it, and tells whose', async () => {
    const { ca, client } = await testPki();
    const { listener, accepted } = await listen({ tls: await serverTls({ clientCaPem: ca.certificatePem }) });
    const credentials = { cert: client.certificatePem, key: client.privateKeyPem };
    await talk(listener.port, credentials);
    await talk(listener.port, { ...credentials, maxVersion: 'TLSv1.2' });
    expect(accepted.map(({ certificate }) => certificate?.subject)).toEqual(['CN=client', 'CN=client']);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('with one lets in nobody else (%s)', async (maxVersion) => {
    const { ca } = await testPki();
    const { listener, accepted } = await listen({ tls: await serverTls({ clientCaPem: ca.certificatePem }) });
    const otherCa = await issueCertificate({ commonName: 'test-ca', ca: true });
    const other = await issueCertificate(
      { commonName: 'client', usages: ['clientAuth'] },
      { issuer: otherCa },
    );
    const own = await issueCertificate({ commonName: 'client', usages: ['clientAuth'] });
    await expect(talk(listener.port, { maxVersion })).rejects.toThrow();
    for (const { certificatePem, privateKeyPem } of [other, own])
      await expect(
        talk(listener.port, { maxVersion, cert: certificatePem, key: privateKeyPem }),
      ).rejects.toThrow();
    await eventually(() => listener.connections === 0);
    expect(accepted).toEqual([]);
  });

  test('of a version below the least is refused', async () => {
    const { listener } = await listen({ tls: await serverTls({ minVersion: 'TLSv1.3' }) });
    await expect(talk(listener.port, { maxVersion: 'TLSv1.2' })).rejects.toThrow();
    await talk(listener.port);
  });

  test('speaks the suites that it was told, and those of TLS 1.3', async () => {
    const suites = ['ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384'];
    const { listener } = await listen({ tls: await serverTls({ cipherSuites: suites }) });
    const old = await talk(listener.port, { maxVersion: 'TLSv1.2' });
    expect(suites).toContain(old.getCipher().name);
    const ciphers = 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256';
    await expect(talk(listener.port, { maxVersion: 'TLSv1.2', ciphers })).rejects.toThrow();
    expect((await talk(listener.port)).getProtocol()).toBe('TLSv1.3');
    const usual = await listen({ tls: await serverTls() });
    await talk(usual.listener.port, { maxVersion: 'TLSv1.2', ciphers });
  });

  test.each([
    [['h2', 'http/1.1'], ['http/1.1'], 'http/1.1'],
    [['h2', 'http/1.1'], ['http/1.1', 'h2'], 'h2'],
    [['h2'], undefined, undefined],
  ])('agrees on a protocol: %j and %j', async (alpn, offered, agreed) => {
    const { listener, accepted } = await listen({ tls: await serverTls(), alpn });
    await talk(listener.port, offered ? { ALPNProtocols: offered } : { ALPNProtocols: [] });
    expect(accepted.map((connection) => connection.alpn)).toEqual([agreed]);
  });

  test('with a client that offers another protocol comes to nothing', async () => {
    const { listener, accepted } = await listen({ tls: await serverTls() });
    await expect(talk(listener.port, { ALPNProtocols: ['http/1.1'] })).rejects.toThrow();
    expect(accepted).toEqual([]);
  });

  test('that does not begin in time is cut', async () => {
    const failures: string[] = [];
    const log = { ...silentLog, debug: (_: object, message: string) => void failures.push(message) };
    const { listener, accepted } = await listen({ tls: await serverTls(), handshakeTimeoutMs: 50, log });
    const socket = connectTcp(listener.port, '127.0.0.1');
    socket.on('error', () => {});
    const startedAt = performance.now();
    await closed(socket.resume());
    expect(performance.now() - startedAt).toBeGreaterThan(40);
    await eventually(() => listener.connections === 0);
    expect([accepted, failures]).toEqual([[], ['TLS handshake failed']]);
  });

  test('waits for its turn when fifty come at once, and loses nothing', async () => {
    const { listener, accepted } = await listen({ tls: await serverTls() });
    await Promise.all(Array.from({ length: 50 }, () => talk(listener.port)));
    expect(accepted.length).toBe(50);
  });

  test('that waits for its turn ends with the listener', async () => {
    const { listener, accepted } = await listen({ tls: await serverTls() });
    const sockets = Array.from({ length: 50 }, () => connectTcp(listener.port, '127.0.0.1'));
    // Of some the end comes before they are taken, which is an error.
    for (const socket of sockets) socket.on('error', () => {}).resume();
    await eventually(() => listener.connections > 0);
    listener.destroy();
    await eventually(() => sockets.every((socket) => socket.closed));
    expect([accepted, listener.connections]).toEqual([[], 0]);
  });

  test('that is none is cut', async () => {
    const { listener } = await listen({ tls: await serverTls() });
    const socket = connectTcp(listener.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await closed(socket.resume());
    await eventually(() => listener.connections === 0);
  });

  test('that was renewed is shown to new connections, and open ones go on', async () => {
    const { ca, client } = await testPki();
    const newCa = await issueCertificate({ commonName: 'new-ca', ca: true });
    const issuer = { issuer: newCa };
    const renewed = await issueCertificate(
      { commonName: 'renewed', usages: ['serverAuth'], ipAddresses: ['127.0.0.1'] },
      issuer,
    );
    const newClient = await issueCertificate({ commonName: 'new client', usages: ['clientAuth'] }, issuer);
    const { listener, accepted } = await listen({ tls: await serverTls({ clientCaPem: ca.certificatePem }) });
    const credentials = { cert: client.certificatePem, key: client.privateKeyPem };
    const before = await talk(listener.port, credentials);
    const session = await new Promise<Buffer>((resolve) => {
      const socket = connectTls({
        host: '127.0.0.1',
        port: listener.port,
        ca: ca.certificatePem,
        ...credentials,
      });
      onTestEnd(() => void socket.destroy());
      socket.once('session', resolve);
    });
    listener.setTls(await serverTls({ ...renewed, clientCaPem: newCa.certificatePem }));
    expect(await echoed(before)).toBe('hello');
    // Its certificate is of the authority before, whatever it has agreed on with the listener.
    await expect(talk(listener.port, { ...credentials, ca: newCa.certificatePem })).rejects.toThrow();
    await expect(
      talk(listener.port, { ...credentials, ca: newCa.certificatePem, session }),
    ).rejects.toThrow();
    const after = await talk(listener.port, {
      ...{ ca: newCa.certificatePem, cert: newClient.certificatePem, key: newClient.privateKeyPem },
    });
    expect(after.getPeerX509Certificate()?.subject).toBe('CN=renewed');
    expect(after.alpnProtocol).toBe('h2');
    expect(accepted.at(-1)?.certificate?.subject).toBe('CN=new client');
  });

  test('that cannot be read throws, and what was there goes on', async () => {
    const { listener } = await listen({ tls: await serverTls() });
    const broken = await serverTls({ privateKeyPem: 'no key' });
    expect(() => listener.setTls(broken)).toThrow();
    await talk(listener.port);
    await expect(listenForStreams({ ...(await options()), tls: broken })).rejects.toThrow();
  });

  async function options(): Promise<StreamListenerOptions> {
    return {
      ...{ address: { type: 'tcp', host: '127.0.0.1', port: 0 }, tls: await serverTls(), alpn: [] },
      ...{ handshakeTimeoutMs: 1, maxConnections: 1, log: silentLog, onConnection: () => {} },
    };
  }
});

describe('a Unix socket', () => {
  async function directory(): Promise<string> {
    const made = await mkdtemp(join(tmpdir(), 'stream-listener-'));
    onTestEnd(() => rm(made, { recursive: true }));
    return made;
  }
  const at = (path: string, deleteExisting = true) =>
    ({ address: { type: 'unix', path, deleteExisting } }) as const;

  test('is for its owner and group, and goes with the listener', async () => {
    const path = join(await directory(), 'anp.sock');
    const { listener, accepted } = await listen(at(path));
    expect((await stat(path)).mode & 0o777).toBe(0o770);
    const socket = connectTcp(path);
    onTestEnd(() => void socket.destroy());
    expect(await echoed(socket)).toBe('hello');
    expect([listener.port, listener.connections]).toEqual([0, 1]);
    expect(
      accepted.map(({ alpn, certificate, remoteAddress }) => [alpn, certificate, remoteAddress]),
    ).toEqual([[undefined, undefined, '']]);
    listener.destroy();
    await closed(socket);
    await listener.close();
    await expect(stat(path)).rejects.toThrow('ENOENT');
  });

  test('takes the place of what an earlier process left, if it may', async () => {
    const path = join(await directory(), 'anp.sock');
    await writeFile(path, '');
    await expect(listen(at(path, false))).rejects.toThrow('EADDRINUSE');
    await listen(at(path));
    const socket = connectTcp(path);
    onTestEnd(() => void socket.destroy());
    expect(await echoed(socket)).toBe('hello');
  });

  test('that cannot be made is told', async () => {
    const path = await directory();
    await expect(listen(at(path))).rejects.toThrow(/EISDIR|EPERM/);
    await expect(listen(at(join(await directory(), 'none', 'anp.sock')))).rejects.toThrow();
  });
});

describe('the end', () => {
  test('by destroy is the end of all connections, TLS and those that have not begun it', async () => {
    const { listener } = await listen({ tls: await serverTls() });
    const sockets = [
      await talk(listener.port),
      await talk(listener.port),
      connectTcp(listener.port, '127.0.0.1'),
    ];
    for (const socket of sockets) socket.on('error', () => {}).resume();
    await eventually(() => listener.connections === 3);
    listener.destroy();
    await Promise.all(sockets.map((socket) => closed(socket)));
    await expect(talk(listener.port)).rejects.toThrow();
    await listener.close();
    await eventually(() => listener.connections === 0);
  });

  test('by close waits for connections, and takes no new ones', async () => {
    const { listener } = await listen({ tls: await serverTls() });
    const socket = await talk(listener.port);
    let isClosed = false;
    const closing = Promise.all([
      listener.close().then(() => (isClosed = true)),
      listener.close().then(() => (isClosed = true)),
    ]);
    await expect(talk(listener.port)).rejects.toThrow();
    expect([await echoed(socket), isClosed]).toEqual(['hello', false]);
    socket.destroy();
    await closing;
    await eventually(() => listener.connections === 0);
  });

  test('of a connection gives its place to another', async () => {
    const { listener, accepted } = await listen({ maxConnections: 2 });
    const open = () => {
      const socket = connectTcp(listener.port, '127.0.0.1');
      onTestEnd(() => void socket.destroy());
      return socket.on('error', () => {});
    };
    const sockets = [open(), open()];
    for (const socket of sockets) expect(await echoed(socket)).toBe('hello');
    await closed(open().resume());
    expect([accepted.length, listener.connections]).toEqual([2, 2]);
    sockets[0]?.destroy();
    await eventually(() => listener.connections === 1);
    expect(await echoed(open())).toBe('hello');
  });

  test('by the peer in the middle of something is no error of the process', async () => {
    for (const tls of [undefined, await serverTls()]) {
      const { listener } = await listen({ tls });
      const raw = connectTcp(listener.port, '127.0.0.1');
      const socket = tls ? await talk(listener.port, { socket: raw }) : raw;
      socket.write(Buffer.alloc(1_000_000));
      await eventually(() => listener.connections === 1);
      raw.resetAndDestroy();
      await eventually(() => listener.connections === 0);
    }
  });

  test('a port that is taken is told', async () => {
    const other = createServer();
    onTestEnd(() => void other.close());
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    await expect(listen({ address: { type: 'tcp', host: '127.0.0.1', port } })).rejects.toThrow('EADDRINUSE');
  });
});
