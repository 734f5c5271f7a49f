import { createServer as createHttp1Server } from 'node:https';
import { createSecureServer } from 'node:http2';
import type { Http2SecureServer, SecureServerOptions, ServerHttp2Session } from 'node:http2';
import type { Server as HttpsServer, ServerOptions } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect } from 'vitest';
import type { Address } from '../dial.ts';
import { testPki } from './certificates.ts';

export interface TestServer<T extends Server> {
  readonly server: T;
  readonly address: Address;
  /** TCP connections that are open at the server now. */
  readonly sockets: ReadonlySet<Socket>;
  /** TCP connections that were ever accepted. */
  readonly accepted: () => number;
}

const running: TestServer<Server>[] = [];
const atEnd: (() => void | Promise<void>)[] = [];

/** Runs when the test ends, before connections are counted: close what the test opened. */
export function onTestEnd(end: () => void | Promise<void>): void {
  atEnd.push(end);
}

// Every file that starts a server fails the test that leaves a connection open.
afterEach(async () => {
  for (const end of atEnd.splice(0).reverse()) await end();
  for (const { server, sockets } of running.splice(0)) {
    server.close();
    await eventually(() => sockets.size === 0).catch(() => undefined);
    const left = sockets.size;
    for (const socket of sockets) socket.destroy();
    expect(left, 'connections left open at the end of the test').toBe(0);
  }
});

/** Waits until something is so, or throws. */
export async function eventually(isSo: () => boolean, withinMs = 5000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error('it did not become so in time');
    await sleep(5);
  }
}

/** Starts any server on a free port of 127.0.0.1 and counts its connections. */
export async function listen<T extends Server>(server: T): Promise<TestServer<T>> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on('connection', (socket: Socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const started = { server, address: { host: '127.0.0.1', port }, sockets, accepted: () => accepted };
  running.push(started);
  return started;
}

export async function startTcp(onConnection: (socket: Socket) => void): Promise<TestServer<Server>> {
  return listen(createTcpServer(onConnection));
}

export interface Http2TestServer extends TestServer<Http2SecureServer> {
  readonly sessions: ReadonlySet<ServerHttp2Session>;
}

/** HTTP/2 over TLS, with the settings of kube-apiserver where they matter: 100 streams. */
export async function startHttp2(options: SecureServerOptions = {}): Promise<Http2TestServer> {
  const { server: identity, ca } = await testPki();
  const server = createSecureServer({
    key: identity.privateKeyPem,
    cert: identity.certificatePem,
    ca: ca.certificatePem,
    ...options,
    settings: { maxConcurrentStreams: 100, maxHeaderListSize: 1024 * 1024, ...options.settings },
  });
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream) => stream.on('error', () => undefined));
  server.on('sessionError', () => undefined);
  return { ...(await listen(server)), sessions };
}

/** HTTP/1.1 over TLS. */
export async function startHttps(options: ServerOptions = {}): Promise<TestServer<HttpsServer>> {
  const { server: identity } = await testPki();
  return listen(
    createHttp1Server({ key: identity.privateKeyPem, cert: identity.certificatePem, ...options }),
  );
}
