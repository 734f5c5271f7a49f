import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Dial } from '../../src/net/dial.ts';

const host = '127.0.0.1';

/** Dials a port of the agent's loopback. */
export function dialPort(dial: Dial, port: number, timeoutMs = 10_000): Promise<Duplex> {
  return dial({ host, port }, AbortSignal.timeout(timeoutMs));
}

/** One HTTP request on a connection of its own; gives the body. */
export async function request(dial: Dial, port: number, body?: string): Promise<string> {
  const socket = await dialPort(dial, port);
  const head =
    body === undefined ? 'GET / HTTP/1.1' : `POST / HTTP/1.1\r\nContent-Length: ${Buffer.byteLength(body)}`;
  socket.write(`${head}\r\nHost: destination\r\nConnection: close\r\n\r\n${body ?? ''}`);
  const [answer, content = ''] = (await untilEnd(socket)).toString().split('\r\n\r\n');
  if (answer?.startsWith('HTTP/1.1 200 ') !== true) throw new Error(`the answer was ${answer ?? ''}`);
  return answer.includes('chunked') ? unchunked(content) : content;
}

function unchunked(content: string): string {
  const lines = content.split('\r\n');
  return lines.filter((_, at) => at % 2 === 1).join('');
}

/** All bytes until the end; rejects when the connection breaks or nothing ends it in time. */
export async function untilEnd(socket: Duplex, timeoutMs = 15_000): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end', { signal: AbortSignal.timeout(timeoutMs) });
  socket.destroy();
  return Buffer.concat(chunks);
}

/** So many bytes; what comes behind them is lost. Rejects when the connection ends before. */
export function readBytes(socket: Duplex, count: number, timeoutMs = 15_000): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const settle = (): void => {
      clearTimeout(timer);
      socket.removeListener('data', onData);
      socket.removeListener('close', onClose);
      socket.removeListener('end', onClose);
    };
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      length += chunk.length;
      if (length < count) return;
      settle();
      socket.pause();
      resolve(Buffer.concat(chunks).subarray(0, count));
    };
    const onClose = (): void => {
      settle();
      reject(new Error(`the connection ended after ${length} of ${count} bytes`));
    };
    const timer = setTimeout(() => {
      settle();
      reject(new Error(`${length} of ${count} bytes came in ${timeoutMs} ms`));
    }, timeoutMs);
    ignoreErrors(socket);
    socket.on('close', onClose);
    socket.on('end', onClose);
    socket.on('data', onData);
    socket.resume();
  });
}

/** Rests after each half mebibyte, so that it reads less than 20 MiB/s. */
export function readSlowly(socket: Duplex): void {
  let read = 0;
  socket.on('data', (chunk: Buffer) => {
    read += chunk.length;
    if (read < 512 * 1024) return;
    read = 0;
    socket.pause();
    setTimeout(() => socket.resume(), 25);
  });
}

/** Sends random bytes to an echo and compares what comes back. */
export async function roundTrip(socket: Duplex, count = 1024, timeoutMs = 15_000): Promise<void> {
  const sent = randomBytes(count);
  socket.write(sent);
  const received = await readBytes(socket, count, timeoutMs);
  if (!received.equals(sent)) throw new Error('the echo is of something else');
}

/** Milliseconds until the connection has ended, by its end or by an error. */
export async function untilGone(socket: Duplex, timeoutMs: number): Promise<number> {
  const started = performance.now();
  ignoreErrors(socket);
  socket.resume();
  const gone = new Promise<void>((resolve) => {
    if (socket.readableEnded || socket.destroyed) resolve();
    socket.once('end', resolve).once('close', resolve);
  });
  const inTime = await Promise.race([gone.then(() => true), sleep(timeoutMs, false, { ref: false })]);
  if (!inTime) throw new Error(`the connection was still open after ${timeoutMs} ms`);
  return performance.now() - started;
}

/** They show as the end of the connection. */
export function ignoreErrors(socket: Duplex): void {
  if (!socket.listeners('error').includes(ignored)) socket.on('error', ignored);
}

function ignored(): void {}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
