import { createHash, type Hash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

import { readSlowly } from './exchanges.ts';
import { firstLines } from './first-lines.ts';

/** What a destination has seen of a connection that asked for `take`. */
export interface Taken {
  readonly bytes: number;
  readonly sha256: string;
  /** The connection has ended, in order or not. */
  readonly ended: boolean;
}

/** What agents connect to: servers on this machine's loopback, all in this process. */
export interface Destinations {
  /** HTTP: GET gives `hello`, POST gives back the body. */
  readonly http: number;
  /** Sends back what it gets. */
  readonly echo: number;
  /** Does what the first line says; see `Scripted`. */
  readonly scripted: number;
  /** A port on which nobody listens, as long as nobody takes it. */
  readonly closed: number;
  /** Connections that are open now. */
  open(): number;
  taken(id: string): Taken | undefined;
  /** Those that were told to read nothing read again. */
  unmute(): void;
  close(): Promise<void>;
}

/**
 * The first lines that the scripted destination understands:
 * `put N`: takes N bytes and answers with their SHA-256 in hex and a line end; `sip N`: the same, but reads slowly;
 * `get N`: sends N bytes and stays open; `give N`: sends N bytes and ends; `flood`: sends for ever; `mute`: reads nothing more; `take ID`: takes all until the end.
 */
export type Scripted = 'put' | 'sip' | 'get' | 'give' | 'flood' | 'mute' | 'take';

/** Starts all of them on 127.0.0.1. */
export async function startDestinations(): Promise<Destinations> {
  const sockets = new Set<Socket>();
  const muted = new Set<Socket>();
  const taken = new Map<string, { bytes: number; hash: Hash; ended: boolean }>();
  const http = createHttpServer((request, response) => {
    if (request.method === 'POST') request.pipe(response);
    else response.end('hello');
  });
  const echo = createServer({ noDelay: true }, (socket) => void socket.pipe(socket));
  const scripted = createServer({ noDelay: true }, (socket) => {
    const take: Take = (id) => {
      const entry = { bytes: 0, hash: createHash('sha256'), ended: false };
      taken.set(id, entry);
      return entry;
    };
    act(socket, { take, mute: () => muted.add(socket) }).catch(() => socket.destroy());
  });
  const servers: Server[] = [http, echo, scripted];
  for (const server of servers) {
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => sockets.delete(socket));
    });
  }
  const [httpPort = 0, echoPort = 0, scriptedPort = 0] = await Promise.all(servers.map(listen));
  const gone = createServer();
  const closed = await listen(gone);
  await new Promise((resolve) => gone.close(resolve));
  return {
    ...{ http: httpPort, echo: echoPort, scripted: scriptedPort, closed },
    open: () => sockets.size,
    unmute() {
      for (const socket of muted) socket.resume();
      muted.clear();
    },
    taken(id) {
      const entry = taken.get(id);
      return entry && { bytes: entry.bytes, sha256: entry.hash.copy().digest('hex'), ended: entry.ended };
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

type Take = (id: string) => { bytes: number; readonly hash: Hash; ended: boolean };

interface Notes {
  readonly take: Take;
  readonly mute: () => void;
}

async function act(socket: Socket, { take, mute }: Notes): Promise<void> {
  const line = await firstLines(socket, '\n', AbortSignal.timeout(20_000));
  const [verb, argument = ''] = line.split(' ');
  switch (verb as Scripted) {
    case 'put':
    case 'sip':
      put(socket, Number(argument), verb === 'sip');
      return;
    case 'get':
      await send(socket, Number(argument));
      // So that its end is seen.
      socket.resume();
      return;
    case 'give':
      await send(socket, Number(argument));
      socket.end();
      socket.resume();
      return;
    case 'flood':
      await send(socket, Infinity);
      return;
    case 'mute':
      socket.pause();
      mute();
      return;
    case 'take': {
      const entry = take(argument);
      socket.on('data', (chunk: Buffer) => {
        entry.bytes += chunk.length;
        entry.hash.update(chunk);
      });
      socket.once('close', () => (entry.ended = true));
      return;
    }
  }
}

function put(socket: Socket, size: number, slowly: boolean): void {
  const hash = createHash('sha256');
  let bytes = 0;
  if (slowly) readSlowly(socket);
  socket.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
    if (bytes >= size) socket.write(`${hash.digest('hex')}\n`);
  });
}

const block = randomBytes(1024 * 1024);

/** The bytes that `get` and `give` send, so many of them. */
export function sentBytes(size: number): Buffer {
  return Buffer.concat(Array.from({ length: Math.ceil(size / block.length) }, () => block)).subarray(0, size);
}

/** Sends as fast as it is taken; resolves when all is handed over, or the connection is lost. */
function send(socket: Socket, size: number): Promise<void> {
  return new Promise((resolve) => {
    let sent = 0;
    const more = (): void => {
      while (sent < size && !socket.destroyed) {
        const piece = size - sent < block.length ? block.subarray(0, size - sent) : block;
        sent += piece.length;
        if (!socket.write(piece)) return;
      }
      resolve();
    };
    socket.on('drain', more);
    socket.once('close', () => resolve());
    more();
  });
}
