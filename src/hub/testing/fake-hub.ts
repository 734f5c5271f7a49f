import { createSecureServer } from 'node:http2';
import type { Http2SecureServer, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect } from 'vitest';
import { Redacted } from '../../base/redacted.ts';
import type { Closable } from '../../base/scope.ts';
import { silentLog } from '../../base/log.ts';
import { testPki } from '../../net/testing/certificates.ts';
import { createHubClient } from '../client.ts';
import type { HubClient, HubClientOptions } from '../client.ts';
import type { HubConfig } from '../kubeconfig.ts';

/** A request as the hub sees it, and the ways to answer it. */
export interface HubCall {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly stream: ServerHttp2Stream;
  readonly isWatch: boolean;
  json(value: unknown, status?: number): void;
  refuse(code: number, reason: string, more?: object): void;
  /** Answers a watch with its head; done by `events` and `raw` too. */
  open(): void;
  events(...events: readonly object[]): void;
  raw(bytes: string | Uint8Array): void;
  end(): void;
  /** The stream breaks; the connection stays. */
  reset(): void;
}

const running: FakeHub[] = [];
const owned: Closable[] = [];

/** Closed when the test ends, before connections are counted; the last one first. */
export function closeAtEnd<T extends Closable>(thing: T): T {
  owned.push(thing);
  return thing;
}

// Every test that leaves a connection open fails.
afterEach(async () => {
  for (const thing of owned.splice(0).reverse()) await thing.close();
  for (const hub of running.splice(0)) {
    await eventually(() => hub.sockets.size === 0).catch(() => undefined);
    const left = hub.sockets.size;
    await hub.stop();
    expect(left, 'connections left open at the end of the test').toBe(0);
  }
});

export async function eventually(isSo: () => boolean, withinMs = 5000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error('it did not become so in time');
    await sleep(5);
  }
}

/** An HTTP/2 server that does what the test says, on a port that stays its own when it is stopped and started. */
export class FakeHub {
  readonly calls: HubCall[] = [];
  readonly sockets = new Set<Socket>();
  readonly #waiting: HubCall[] = [];
  /** Answers at once instead of `next`. */
  handle: ((call: HubCall) => void) | undefined;
  port = 0;
  #server: Http2SecureServer | undefined;

  async start(): Promise<void> {
    const { server: identity } = await testPki();
    const server = createSecureServer({
      key: identity.privateKeyPem,
      cert: identity.certificatePem,
      settings: { maxConcurrentStreams: 100 },
    });
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => this.sockets.delete(socket));
    });
    server.on('session', (session) => session.on('error', () => undefined));
    server.on('sessionError', () => undefined);
    server.on('stream', (stream, headers) => {
      stream.on('error', () => undefined);
      void this.#receive(stream, headers);
    });
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** As when the process dies. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server?.close(resolve));
    this.cut();
    await closed;
  }

  /** All connections break. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async #receive(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const body = await text(stream).catch(() => '');
    const call = hubCall(stream, headers, body);
    this.calls.push(call);
    if (this.handle) this.handle(call);
    else this.#waiting.push(call);
  }

  /** The next request that nothing has answered yet. */
  async next(withinMs = 5000): Promise<HubCall> {
    await eventually(() => this.#waiting.length > 0, withinMs);
    const call = this.#waiting.shift();
    if (!call) throw new Error('no request has come');
    return call;
  }

  async config(more: Partial<HubConfig> = {}): Promise<HubConfig> {
    const { ca } = await testPki();
    return {
      address: { host: '127.0.0.1', port: this.port },
      authority: `127.0.0.1:${this.port}`,
      basePath: '',
      proxyUrl: undefined,
      tls: () => Promise.resolve({ ca: ca.certificatePem }),
      authorization: () => Promise.resolve(new Redacted('Bearer hub-token')),
      ...more,
    };
  }

  /** A client that is closed when the test ends. */
  async client(more: Partial<HubClientOptions> = {}): Promise<HubClient> {
    const config = await this.config();
    return closeAtEnd(createHubClient({ config, userAgent: 'test/1', log: silentLog, ...more }));
  }
}

/** A way to the hub that can fall silent, as when a firewall forgets a connection: nothing passes, nothing ends. */
export async function startRelay(hub: FakeHub): Promise<{ readonly port: number; silence(): void }> {
  const sockets: Socket[] = [];
  const server = createServer((near) => {
    const far = connect(hub.port, '127.0.0.1');
    near.on('error', () => undefined).on('close', () => far.destroy());
    far.on('error', () => undefined).on('close', () => near.destroy());
    near.pipe(far).pipe(near);
    sockets.push(near, far);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const end = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  closeAtEnd({
    close: () => {
      end();
      return Promise.resolve();
    },
    destroy: end,
  });
  return {
    port: (server.address() as AddressInfo).port,
    silence: () => {
      for (const socket of sockets) socket.unpipe().pause();
    },
  };
}

export async function startHub(handle?: (call: HubCall) => void): Promise<FakeHub> {
  const hub = new FakeHub();
  hub.handle = handle;
  await hub.start();
  running.push(hub);
  return hub;
}

function hubCall(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: string): HubCall {
  const url = new URL(String(headers[':path']), 'https://hub');
  const respond = (status: number) => {
    if (!stream.headersSent && !stream.destroyed)
      stream.respond({ ':status': status, 'content-type': 'application/json' });
  };
  const answer = (status: number, value: unknown) => {
    respond(status);
    stream.end(JSON.stringify(value));
  };
  return {
    method: String(headers[':method']),
    path: url.pathname,
    query: url.searchParams,
    headers,
    body,
    stream,
    isWatch: url.searchParams.get('watch') === 'true',
    json: (value, status = 200) => answer(status, value),
    refuse: (code, reason, more = {}) => answer(code, status(code, reason, more)),
    open: () => respond(200),
    events: (...events) => {
      respond(200);
      for (const event of events) stream.write(`${JSON.stringify(event)}\n`);
    },
    raw: (bytes) => {
      respond(200);
      stream.write(bytes);
    },
    end: () => {
      respond(200);
      stream.end();
    },
    reset: () => stream.destroy(new Error('broken')),
  };
}

export function status(code: number, reason: string, more: object = {}): object {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `${reason} says the hub`,
    reason,
    code,
    ...more,
  };
}
