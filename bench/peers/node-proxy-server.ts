/** A proxy that checks nothing: http-proxy-3 behind Node's HTTP/2 server. What the usual way in Node costs. */
import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import { Agent } from 'node:https';
import { parseArgs } from 'node:util';

import { createProxyServer } from 'http-proxy-3';

const text = { type: 'string', default: '' } as const;
const { values } = parseArgs({
  options: { port: text, target: text, 'target-ca': text, certificate: text, key: text },
});

const proxy = createProxyServer({
  target: values.target,
  changeOrigin: true,
  agent: new Agent({ keepAlive: true, ca: readFileSync(values['target-ca']) }),
});
proxy.on('error', (_error, _request, response) => {
  if ('writeHead' in response && !response.headersSent) response.writeHead(502);
  response.end();
});
const server = createSecureServer({
  cert: readFileSync(values.certificate),
  key: readFileSync(values.key),
  allowHTTP1: true,
});
// The package's types know http alone; it is made for http2's compatible requests, too.
type Web = Parameters<typeof proxy.web>;
server.on('request', (request, response) =>
  proxy.web(request as unknown as Web[0], response as unknown as Web[1]),
);
server.on('upgrade', (request, socket, head) => proxy.ws(request, socket, head));
server.listen(Number(values.port), '127.0.0.1');
