import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { describe, expect, test } from 'vitest';
import { testPki } from '../../net/testing/certificates.ts';
import { eventually, onTestEnd, startTcp } from '../../net/testing/servers.ts';
import { failureOf } from '../../net/testing/streams.ts';
import { createClientTls } from '../../net/tls.ts';
import { silentLog } from '../../base/log.ts';
import { cluster, never, tunnelTo } from '../testing/dial-under-test.ts';
import type { DialUnderTestOptions } from '../testing/dial-under-test.ts';
import { unixPath } from '../testing/frontend-server.ts';
import { listenForStreams } from '../stream-listener.ts';
import type { ConnectionCounts } from './connection-counts.ts';
import { createTunnelDial } from './tunnel-client.ts';

const tunnel = (
  places: Readonly<Record<string, { readonly port: number } | undefined>>,
  options: DialUnderTestOptions = {},
) => tunnelTo(places, { mode: 'http-connect', ...options });

/** Notes what is asked, and answers it with this. */
async function start(answer: string | ((socket: Socket) => void)) {
  const heads: string[] = [];
  const server = await startTcp((socket) => {
    socket.once('data', (head: Buffer) => {
      heads.push(head.toString());
      if (typeof answer === 'string') socket.end(answer);
      else answer(socket);
    });
  });
  return { heads, server, port: server.address.port };
}

const open = (socket: Duplex) => {
  socket.write('HTTP/1.1 200 Connection Established\r\n\r\nearly ');
  socket.on('data', (chunk: Buffer) => socket.write(chunk));
  socket.on('end', () => socket.end());
};

// As the Go server writes it: without a length.
const noAgent =
  'HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\ncurrently no tunnels available: No agent available';

const refusal = (status: string, text: string) =>
  `HTTP/1.1 ${status}\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`;

describe('a tunnel server in mode http-connect', () => {
  test('is asked by CONNECT, on a connection of its own for each', async () => {
    const { heads, server, port } = await start(open);
    const counts: ConnectionCounts[] = [];
    const metrics = { dialFailed: () => {}, watch: (given: ConnectionCounts) => void counts.push(given) };
    const dial = tunnel({ a: { port } }, { metrics });
    const sockets = [await dial(cluster, never), await dial(cluster, never)];
    expect(counts[0]?.of('ok')).toBe(2);
    expect(heads).toEqual(Array(2).fill('CONNECT cluster1:443 HTTP/1.1\r\nHost: cluster1:443\r\n\r\n'));
    for (const socket of sockets) {
      socket.write('bird');
      let text = '';
      while (text !== 'early bird') text += ((await once(socket, 'data')) as [Buffer])[0].toString();
      socket.end();
      await finished(socket);
    }
    await eventually(() => server.sockets.size === 0);
    await eventually(() => counts[0]?.total === 0);
  });

  test.each([
    ['502 Bad Gateway', 'dial tcp 10.0.0.1:443: connect: connection refused', 'unreachable'],
    ['504 Gateway Timeout', 'dial tcp 10.0.0.1:443: i/o timeout', 'timeout'],
    ['503 Service Unavailable', 'socket: too many open files', 'unreachable'],
  ])('tells by %s what the agent says', async (status, text, kind) => {
    const { server, port } = await start(refusal(status, text));
    const failure = await failureOf(tunnel({ a: { port }, b: { port } })(cluster, never));
    expect(failure).toMatchObject({ kind, message: `the agent cannot reach cluster1:443: ${text}` });
    expect(server.accepted()).toBe(1);
  });

  test.each([
    ['with a length', refusal('502 Bad Gateway', 'connection refused')],
    ['without one', 'HTTP/1.1 502 Bad Gateway\r\n\r\nconnection refused'],
  ])('that refuses %s and keeps the connection: it is ended', async (_, answer) => {
    const { server, port } = await start((socket) => void socket.write(answer));
    const failure = await failureOf(tunnel({ a: { port } })(cluster, never));
    expect(failure.message).toBe('the agent cannot reach cluster1:443: connection refused');
    await eventually(() => server.sockets.size === 0);
  });

  test('without an agent: another one is asked', async () => {
    const servers = [await start(noAgent), await start(noAgent), await start(open)];
    const [a, b, c] = servers;
    const dial = tunnel({ a, b, c });
    for (let i = 0; i < 3; i += 1) (await dial(cluster, never)).destroy();
    expect(c?.server.accepted()).toBe(3);
  });

  test('without an agent anywhere', async () => {
    const [a, b] = [await start(noAgent), await start(noAgent)];
    const failure = await failureOf(tunnel({ a, b })(cluster, never));
    expect(failure).toMatchObject({
      kind: 'unreachable',
      message:
        'No agent available: no agent of "cluster1" is connected to tunnel server tunnel.test:8090 (2 asked)',
    });
    expect([a.server.accepted(), b.server.accepted()]).toEqual([1, 1]);
  });

  test('behind one address is asked again, as it may be another one', async () => {
    let asked = 0;
    const a = await start((socket) => {
      asked += 1;
      if (asked === 3) open(socket);
      else socket.end(noAgent);
    });
    (await tunnel({ a })(cluster, never)).destroy();
    expect(asked).toBe(3);
    const b = await start(noAgent);
    await failureOf(tunnel({ b })(cluster, never));
    expect(b.server.accepted()).toBe(4);
  });

  test('that cannot be reached: the next one is asked, and it is left alone for a while', async () => {
    const a = await start(open);
    const dial = tunnel({ a, dead: undefined });
    for (let i = 0; i < 4; i += 1) (await dial(cluster, never)).destroy();
    expect(a.server.accepted()).toBe(4);
    const failure = await failureOf(tunnel({ dead: undefined })(cluster, never));
    expect(failure).toMatchObject({
      kind: 'unreachable',
      message:
        'tunnel server tunnel.test:8090 cannot be reached: dial tcp 127.0.0.1:1: connect: connection refused',
    });
  });

  test.each([
    ['HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 3\r\n\r\nno!', 'tunnel server a: 405 no!'],
    ['SSH-2.0-x\r\n\r\n', 'tunnel server a: malformed HTTP response'],
  ])('that answers %j', async (answer, message) => {
    const a = await start(answer);
    expect(await failureOf(tunnel({ a })(cluster, never))).toMatchObject({ kind: 'refused', message });
  });

  test('that closes the connection: once more is all', async () => {
    const a = await start((socket) => socket.destroy());
    const failure = await failureOf(tunnel({ a })(cluster, never));
    expect(failure.kind).toBe('unreachable');
    expect(a.server.accepted()).toBe(2);
  });

  test('that does not answer, or whose caller goes', async () => {
    const a = await start(() => undefined);
    const late = await failureOf(tunnel({ a }, { limits: { dialTimeoutMs: 80 } })(cluster, never));
    expect(late.kind).toBe('timeout');
    const gone = await failureOf(tunnel({ a })(cluster, AbortSignal.timeout(50)));
    expect(gone.kind).toBe('cancelled');
    await eventually(() => a.server.sockets.size === 0);
  });

  test('ends with what is open', async () => {
    const a = await start(open);
    const dial = tunnel({ a });
    const socket = await dial(cluster, never);
    let closed = false;
    const closing = dial.close().then(() => (closed = true));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(closed).toBe(false);
    socket.resume().end();
    await closing;
    const second = tunnel({ a });
    const cut = await second(cluster, never);
    second.destroy();
    await eventually(() => cut.destroyed && a.server.sockets.size === 0);
  });

  test('over TLS, by the name that is configured', async () => {
    const { ca, server, client } = await testPki();
    const material = (pair: typeof client) => ({
      certificatePem: pair.certificatePem,
      privateKeyPem: pair.privateKeyPem,
    });
    const listener = await listenForStreams({
      address: { type: 'tcp', host: '127.0.0.1', port: 0 },
      tls: {
        ...{ ...material(server), clientCaPem: ca.certificatePem, minVersion: 'TLSv1.2', cipherSuites: [] },
      },
      ...{ alpn: ['http/1.1'], handshakeTimeoutMs: 1000, maxConnections: 10, log: silentLog },
      onConnection: ({ socket }) => void socket.once('data', () => open(socket)),
    });
    onTestEnd(() => listener.destroy());
    const tls = createClientTls({ ca: ca.certificatePem, ...material(client) });
    const dial = tunnel(
      { a: listener },
      {
        server: { type: 'tcp', host: 'localhost', port: 8090 },
        tls: { current: () => tls, onChange: () => () => undefined },
      },
    );
    const socket = await dial(cluster, never);
    expect(((await once(socket, 'data')) as [Buffer])[0].toString()).toBe('early ');
    socket.destroy();
  });

  test('on a Unix socket', async () => {
    const path = await unixPath();
    const listener = await listenForStreams({
      ...{ address: { type: 'unix', path, deleteExisting: true }, tls: undefined, alpn: [] },
      ...{ handshakeTimeoutMs: 1000, maxConnections: 10, log: silentLog },
      onConnection: ({ socket }) => void socket.once('data', () => open(socket)),
    });
    onTestEnd(() => listener.destroy());
    const dial = createTunnelDial({
      ...{ mode: 'http-connect', server: { type: 'unix', path }, log: silentLog },
    });
    const socket = await dial(cluster, never);
    expect(((await once(socket, 'data')) as [Buffer])[0].toString()).toBe('early ');
    socket.destroy();
  });
});
