/**
 * A cluster of streams, in a process of its own: a GET is a watch that tells nothing until its caller goes, an upgrade
 * echoes. Prints its port, and then on each line it reads how many of both are open.
 * Arguments: certificate file, key file.
 */
import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';

const [certificateFile = '', keyFile = ''] = process.argv.slice(2);
const open = { watches: 0, upgrades: 0 };

const server = createSecureServer({
  cert: readFileSync(certificateFile),
  key: readFileSync(keyFile),
  allowHTTP1: true,
  // As kube-apiserver: what does not fit needs another connection.
  settings: { maxConcurrentStreams: 100 },
});
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  if (!headers[':path']?.includes('watch=')) {
    stream.respond({ ':status': 200, 'content-type': 'text/plain' });
    stream.end('ok');
    return;
  }
  open.watches += 1;
  stream.once('close', () => (open.watches -= 1));
  stream.respond({ ':status': 200, 'content-type': 'application/json' });
});
server.on('upgrade', (_request, socket: Duplex) => {
  open.upgrades += 1;
  socket.once('close', () => (open.upgrades -= 1));
  socket.on('error', () => {});
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
  socket.pipe(socket);
});
server.on('secureConnection', (socket: TLSSocket) => socket.on('error', () => {}));
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
process.stdin.on('data', () => process.stdout.write(`${JSON.stringify(open)}\n`));
process.stdin.on('end', () => process.exit());
