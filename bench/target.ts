/**
 * A cluster that costs next to nothing, over HTTP/2 and HTTP/1.1. What it answers stands in the query:
 * `bytes=N` a list of that size, `watch=true` one event a second with the time at which it was sent, nothing a small object.
 * An upgrade echoes, or with `bytes=N` sends that much and ends. Agents of a tunnel look for it on port 443, too; beside it
 * there is a plain echo. The first line of the output says where all of it listens.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Writable } from 'node:stream';

import { startEvents } from './target-events.ts';
import type { TargetPorts } from './target-ports.ts';

const [certificateFile = '', keyFile = ''] = process.argv.slice(2);
const small = Buffer.from(
  JSON.stringify({
    kind: 'Namespace',
    apiVersion: 'v1',
    metadata: { name: 'kube-system', labels: { a: 'b' } },
  }),
);
const json = ['content-type', 'application/json'];
const headers = [':status', '200', ...json, 'content-length', String(small.length)];
const chunk = Buffer.alloc(64 * 1024, '{"kind":"ConfigMap"},');
const addWatch = startEvents();

const server = createSecureServer({
  cert: readFileSync(certificateFile),
  key: readFileSync(keyFile),
  allowHTTP1: true,
  settings: { maxConcurrentStreams: 250, initialWindowSize: 1 << 20 },
});
// HTTP/2 below the compatible API, which would cost as much as some of the proxies.
server.on('stream', (stream, { ':path': path = '' }) => {
  stream.on('error', () => {});
  const { bytes, watch } = asked(path);
  if (watch) {
    stream.respond([':status', '200', ...json]);
    addWatch(stream);
  } else if (bytes > 0) {
    stream.respond([':status', '200', ...json, 'content-length', String(bytes)]);
    send(stream, bytes);
  } else {
    // After the whole body: an answer before it would let a proxy drop the rest.
    stream.resume().once('end', () => {
      if (stream.destroyed) return;
      stream.respond(headers);
      stream.end(small);
    });
  }
});
server.on('request', (request, response) => {
  if (request.httpVersionMajor !== 1) return;
  const { bytes, watch } = asked(request.url);
  request.resume();
  response.setHeader('content-type', 'application/json');
  if (watch) {
    // Any bytes at all send the head.
    response.write('\n');
    addWatch(response);
  } else if (bytes > 0) {
    response.setHeader('content-length', bytes);
    send(response, bytes);
  } else {
    request.once('end', () => response.end(small));
  }
});
server.on('upgrade', (request: { url: string; headers: { upgrade?: string } }, socket: Socket) => {
  socket.on('error', () => {});
  socket.setNoDelay(true);
  const { upgrade = '' } = request.headers;
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}\r\n\r\n`);
  const { bytes } = asked(request.url);
  if (bytes > 0) send(socket, bytes);
  else socket.pipe(socket);
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const echo = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => {});
  socket.pipe(socket);
});
// Thousands come at once: none shall wait for its SYN to be sent again.
echo.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
await once(echo, 'listening');
const ports: TargetPorts = {
  port: portOf(server),
  echoPort: portOf(echo),
  standardPortTrouble: await listenOnStandardPort(),
};
console.log(JSON.stringify(ports));

function portOf(listening: Pick<Server, 'address'>): number {
  return (listening.address() as AddressInfo).port;
}

/** Gives why it cannot be, or null. */
function listenOnStandardPort(): Promise<string | null> {
  return new Promise((resolve) => {
    createServer((socket) => server.emit('connection', socket))
      .once('error', ({ message }) => resolve(message))
      .listen({ port: 443, host: '127.0.0.1', backlog: 4096 }, () => resolve(null));
  });
}

function asked(path: string): { bytes: number; watch: boolean } {
  const at = path.indexOf('?');
  if (at === -1) return { bytes: 0, watch: false };
  const query = new URLSearchParams(path.slice(at + 1));
  return { bytes: Number(query.get('bytes') ?? 0), watch: query.get('watch') === 'true' };
}

/** As fast as the reader reads, and no faster. */
function send(to: Writable, bytes: number): void {
  let left = bytes;
  const write = (): void => {
    while (left > 0) {
      const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
      left -= part.length;
      if (!to.write(part)) {
        to.once('drain', write);
        return;
      }
    }
    to.end();
  };
  write();
}
