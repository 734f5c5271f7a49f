import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { readBehindWriteErrors } from './read-behind-write-errors.ts';
import { testPki } from './testing/certificates.ts';
import { onTestEnd } from './testing/servers.ts';
import { connectTls, createClientTls } from './tls.ts';

const answer = Buffer.alloc(100_000, 'answer ');

/** Sends an answer and closes, with what came unread: the kernel resets the connection behind the answer. */
async function answerAndClose(socket: Duplex, raw: Socket): Promise<void> {
  socket.on('error', () => undefined);
  await once(socket.pause(), 'readable');
  await new Promise<void>((resolve) => void socket.write(answer, () => resolve()));
  // More than was read of it.
  await sleep(20);
  raw.destroy();
}

async function plain(): Promise<Socket> {
  const server = createServer((socket) => void answerAndClose(socket, socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestEnd(() => void server.close());
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

async function overTls(): Promise<TLSSocket> {
  const { ca, server: identity } = await testPki();
  const raws: Socket[] = [];
  const server = createTlsServer({ cert: identity.certificatePem, key: identity.privateKeyPem });
  server.on('connection', (raw: Socket) => raws.push(raw));
  server.on('secureConnection', (socket) => void answerAndClose(socket, raws[0] as Socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestEnd(() => void server.close());
  const raw = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(raw, 'connect');
  const options = { tls: createClientTls({ ca: ca.certificatePem }), host: '127.0.0.1', alpn: [] };
  return connectTls(raw, { ...options, signal: AbortSignal.timeout(5_000) });
}

async function received(socket: Socket): Promise<number> {
  onTestEnd(() => void socket.destroy());
  const errors: string[] = [];
  socket.on('error', (error) => void errors.push(error.message));
  socket.pause().write('request');
  socket.write(Buffer.alloc(10_000));
  // The answer and the reset are here, and nobody has read.
  await sleep(200);
  for (let i = 0; i < 3; i += 1) {
    socket.write(Buffer.alloc(10));
    await sleep(10);
  }
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve).once('end', resolve));
  return bytes;
}

test.each([
  ['plain', plain],
  ['over TLS', overTls],
] as const)('what came before the peer reset the connection is read, %s', async (_, open) => {
  const socket = await open();
  readBehindWriteErrors(socket);
  expect(await received(socket)).toBe(answer.length);
});

test('without it Node loses that', async () => {
  expect(await received(await plain())).toBe(0);
});
