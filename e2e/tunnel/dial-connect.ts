import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { readFile } from 'node:fs/promises';

import type { Address, Dial } from '../../src/net/dial.ts';
import { firstLines } from './first-lines.ts';
import type { Frontend } from './server.ts';

/** A server refused a CONNECT, in its own words. */
export class ConnectRefused extends Error {
  override readonly name = 'ConnectRefused';
  readonly status: number;

  constructor(status: number, body: string) {
    super(`${status}: ${body}`);
    this.status = status;
  }
}

/** HTTP CONNECT as any client of a proxy sends it, written down once more: it shares no code with what is tested. */
export function dialByConnect(frontend: Frontend): Dial {
  return async ({ host, port }: Address, signal) => {
    const socket = await openSocket(frontend, signal);
    try {
      const target = `${host.includes(':') ? `[${host}]` : host}:${port}`;
      socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
      const head = await firstLines(socket, '\r\n\r\n', signal);
      const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]);
      if (status === 200) return socket;
      throw new ConnectRefused(status, await rest(socket, signal));
    } catch (error) {
      socket.destroy();
      throw error;
    }
  };
}

async function openSocket(frontend: Frontend, signal: AbortSignal): Promise<Duplex> {
  if (frontend.type === 'unix') {
    return opened(connectTcp(frontend.path), { event: 'connect', signal });
  }
  const { port, certificates } = frontend;
  const [ca, cert, key] = await Promise.all(
    [certificates.caFile, certificates.clientCertificateFile, certificates.clientKeyFile].map((path) =>
      readFile(path),
    ),
  );
  const options = { host: '127.0.0.1', port, ALPNProtocols: ['http/1.1'] };
  const socket = connectTls({
    ...options,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
  return opened(socket, { event: 'secureConnect', signal });
}

/** Waits for the event of a socket that connects. */
export function opened<S extends Duplex>(
  socket: S,
  { event, signal }: { readonly event: 'connect' | 'secureConnect'; readonly signal: AbortSignal },
): Promise<S> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      signal.removeEventListener('abort', aborted);
      socket.destroy();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const aborted = (): void => fail(signal.reason);
    socket.once('error', fail);
    signal.addEventListener('abort', aborted, { once: true });
    socket.once(event, () => {
      signal.removeEventListener('abort', aborted);
      socket.removeListener('error', fail);
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

/** What comes until the end, a little of it. */
async function rest(socket: Duplex, signal: AbortSignal): Promise<string> {
  const read = (async () => {
    let text = '';
    for await (const chunk of socket) {
      text += String(chunk);
      if (text.length > 4096) break;
    }
    return text;
  })();
  // A server that says no and keeps the connection has said enough after a while.
  const enough = new Promise<string>((resolve) => {
    setTimeout(() => {
      socket.destroy();
      resolve('');
    }, 2000).unref();
  });
  signal.throwIfAborted();
  return Promise.race([read.catch(() => ''), enough]);
}
