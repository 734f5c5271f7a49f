import { once } from 'node:events';
import { createSecureServer } from 'node:http2';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { connectTls, createClientTls } from '../../net/tls.ts';
import type { ClientTls } from '../../net/tls.ts';
import { createTransport } from '../../net/create-transport.ts';
import type { IssuedCertificate } from '../../pki/certificate-profile.ts';
import { issueCertificate } from '../../pki/issue.ts';
import { eventually, listen, onTestEnd } from '../../net/testing/servers.ts';
import { failureOf } from '../../net/testing/streams.ts';
import { get, textOf } from '../../net/testing/transports.ts';
import { cluster, never, tunnelTo } from '../testing/dial-under-test.ts';
import { agentTo } from '../testing/frontend-call.ts';
import { startFrontendServer } from '../testing/frontend-server.ts';

let ca: IssuedCertificate;
let identity: IssuedCertificate;
beforeAll(async () => {
  ca = await issueCertificate({ commonName: 'cluster-ca', ca: true });
  identity = await issueCertificate(
    { commonName: 'apiserver', usages: ['serverAuth'], dnsNames: ['kubernetes.default.svc'] },
    { issuer: ca },
  );
});

const tailBytes = 1024 * 1024;

/** An API server: HTTP/2 and HTTP/1.1 with upgrades. */
async function startApiServer() {
  const server = createSecureServer(
    { key: identity.privateKeyPem, cert: identity.certificatePem, allowHTTP1: true },
    (request: Http2ServerRequest, response: Http2ServerResponse) => {
      if (request.url === '/echo') {
        request.pipe(response);
        return;
      }
      if (request.url === '/large') {
        response.end(Buffer.alloc(8 * 1024 * 1024, 'x'));
        return;
      }
      const { host, ':authority': authority } = request.headers;
      response.end(`${request.httpVersion} ${request.url} ${authority ?? host ?? ''}`);
    },
  );
  server.on('upgrade', ({ url }: IncomingMessage, socket: Socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    if (url === '/tail') socket.end(Buffer.alloc(tailBytes, 'x'));
    else socket.pipe(socket);
  });
  server.on('sessionError', () => undefined);
  server.on('tlsClientError', () => undefined);
  return listen(server);
}

const trusting = (serverName = 'kubernetes.default.svc'): ClientTls =>
  createClientTls({ ca: ca.certificatePem, serverName });

async function start(tls = trusting()) {
  const api = await startApiServer();
  const server = await startFrontendServer({ onDial: agentTo(() => api.address.port) });
  const dial = tunnelTo({ a: server });
  const transport = createTransport({ address: cluster, dial, tls });
  onTestEnd(() => transport.destroy());
  return { api, server, transport, dial };
}

describe('TLS from end to end', () => {
  test('runs over a connection of the tunnel', async () => {
    const { dial } = await start();
    const options = { tls: trusting(), host: cluster.host, alpn: ['h2'], signal: never };
    const socket = await connectTls(await dial(cluster, never), options);
    expect(socket.alpnProtocol).toBe('h2');
    expect(socket.authorized).toBe(true);
    socket.destroy();
  });

  test('is for the cluster itself: whoever else answers is not trusted', async () => {
    const { server, transport } = await start(trusting('kubernetes.other.svc'));
    const failure = await failureOf(transport.request(get('/')));
    expect(failure).toMatchObject({ kind: 'untrusted', sent: false });
    await eventually(() => server.openStreams === 0);
  });
});

describe('a transport through the tunnel', () => {
  test('carries requests on one session', async () => {
    const { server, transport } = await start();
    const answers = await Promise.all([1, 2, 3].map((n) => transport.request(get(`/${n}`))));
    expect(await Promise.all(answers.map(textOf))).toEqual([1, 2, 3].map((n) => `2.0 /${n} target.test`));
    expect(server.calls.length).toBe(1);
  });

  test('carries bodies both ways', async () => {
    const { transport } = await start();
    const sent = Buffer.alloc(5 * 1024 * 1024, 'abcdefg');
    const echoed = await transport.request(get('/echo', { method: 'POST', body: Readable.from([sent]) }));
    expect((await buffer(echoed.body)).equals(sent)).toBe(true);
    const large = await transport.request(get('/large'));
    expect((await buffer(large.body)).length).toBe(8 * 1024 * 1024);
  });

  test('carries upgrades on streams of their own', async () => {
    const { server, transport } = await start();
    await textOf(await transport.request(get('/')));
    const headers = ['Connection', 'Upgrade', 'Upgrade', 'echo'];
    const upgraded = await transport.upgrade(get('/exec', { headers }));
    if (upgraded.type !== 'upgraded') throw new Error('refused');
    expect(server.calls.length).toBe(2);
    upgraded.socket.write('hello');
    const [chunk] = (await once(upgraded.socket, 'data')) as [Buffer];
    expect(chunk.toString()).toBe('hello');
    upgraded.socket.end();
    await once(upgraded.socket, 'close');
    await eventually(() => server.openStreams === 1);
  });

  test('loses nothing of an upgrade that its peer ends, however late it is read', async () => {
    const { server, transport } = await start();
    const headers = ['Connection', 'Upgrade', 'Upgrade', 'echo'];
    const upgraded = await transport.upgrade(get('/tail', { headers }));
    if (upgraded.type !== 'upgraded') throw new Error('refused');
    let received = upgraded.head.length;
    await sleep(50);
    for await (const chunk of upgraded.socket) {
      received += (chunk as Buffer).length;
      await sleep(5);
    }
    expect(received).toBe(tailBytes);
    await eventually(() => upgraded.socket.closed && server.openStreams === 0);
  });

  test('makes a new session when the tunnel server is lost', async () => {
    const { server, transport } = await start();
    await textOf(await transport.request(get('/')));
    server.cut();
    await eventually(() => transport.connections().http2 === 0);
    expect(await textOf(await transport.request(get('/again')))).toBe('2.0 /again target.test');
    expect(server.accepted).toBe(2);
  });

  test('frees its streams when it ends', async () => {
    const { server, transport } = await start();
    await textOf(await transport.request(get('/')));
    await transport.close();
    await eventually(() => server.openStreams === 0);
  });
});
