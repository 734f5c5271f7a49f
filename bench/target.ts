/** A cluster that costs next to nothing: answers every request with the same small JSON over HTTP/2. For the benchmark only. */
import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';

const [certificateFile = '', keyFile = ''] = process.argv.slice(2);
const body = Buffer.from(
  JSON.stringify({
    kind: 'Namespace',
    apiVersion: 'v1',
    metadata: { name: 'kube-system', labels: { a: 'b' } },
  }),
);
const headers = [':status', '200', 'content-type', 'application/json', 'content-length', String(body.length)];

const server = createSecureServer({
  cert: readFileSync(certificateFile),
  key: readFileSync(keyFile),
  settings: { maxConcurrentStreams: 250 },
});
server.on('stream', (stream) => {
  stream.on('error', () => {});
  stream.respond(headers);
  stream.end(body);
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
