import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { afterEach } from 'vitest';
import { silentLog } from '../../base/log.ts';
import { issueCertificate } from '../../pki/issue.ts';
import type { IssuedCertificate } from '../../pki/issue.ts';
import type { Exchange } from '../exchange.ts';
import { listen } from '../listener.ts';
import type { Listener, ListenerOptions } from '../listener.ts';

const listeners: Listener[] = [];
afterEach(() => {
  for (const listener of listeners.splice(0)) listener.destroy();
});

let serving: Promise<IssuedCertificate> | undefined;

/** A real listener on a free port, closed when the test ends. Gives the port. */
export async function serve(handle: (exchange: Exchange) => void): Promise<number> {
  return (await startListener(handle)).port;
}

/** As `serve`, with options of the listener, which it gives. */
export async function startListener(
  handle: (exchange: Exchange) => void,
  options: Partial<ListenerOptions> = {},
): Promise<Listener> {
  serving ??= issueCertificate({ commonName: 'gateway', dnsNames: ['localhost'], usages: ['serverAuth'] });
  const listener = await listen({
    ...{ host: '127.0.0.1', port: 0, certificate: await serving, handle },
    log: silentLog,
    ...options,
  });
  listeners.push(listener);
  return listener;
}

export interface Answer {
  readonly status: number;
  readonly headers: http2.IncomingHttpHeaders;
  readonly body: string;
}

export interface CallOptions {
  readonly method?: string;
  readonly path?: string;
  /** Values are written as UTF-8; a list makes a line of each. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Leaf first; the key is the first one's. */
  readonly clientCertificates?: readonly IssuedCertificate[];
  readonly agent?: https.Agent;
  readonly payload?: string | Buffer;
}

const bytes = (value: string) => Buffer.from(value, 'utf8').toString('latin1');
const lines = (headers: CallOptions['headers'] = {}) =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      typeof value === 'string' ? bytes(value) : value.map(bytes),
    ]),
  );

function identity(chain: readonly IssuedCertificate[] = []): { cert?: string; key?: string } {
  const [leaf] = chain;
  if (!leaf) return {};
  return { cert: chain.map(({ certificatePem }) => certificatePem).join(''), key: leaf.privateKeyPem };
}

/** Node frames no body of a DELETE by itself. */
const lengthOf = (payload: CallOptions['payload']) =>
  payload === undefined ? {} : { 'content-length': String(Buffer.byteLength(payload)) };

export async function callHttp1(port: number, options: CallOptions = {}): Promise<Answer> {
  const request = https.request({
    ...{ host: '127.0.0.1', port, rejectUnauthorized: false, agent: options.agent ?? false },
    ...{ method: options.method ?? 'GET', path: options.path ?? '/' },
    headers: { ...lengthOf(options.payload), ...lines(options.headers) },
    ...identity(options.clientCertificates),
  });
  request.end(options.payload);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks).toString(),
  };
}

export async function callHttp2(port: number, options: CallOptions = {}): Promise<Answer> {
  const session = http2.connect(`https://localhost:${port}`, {
    rejectUnauthorized: false,
    ...identity(options.clientCertificates),
  });
  try {
    const headers = { ':method': options.method ?? 'GET', ':path': options.path ?? '/' };
    const stream = session.request(
      { ...headers, ...lines(options.headers) },
      { endStream: options.payload === undefined },
    );
    stream.end(options.payload);
    const [answered] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return {
      status: Number(answered[':status']),
      headers: answered,
      body: Buffer.concat(chunks).toString(),
    };
  } finally {
    session.destroy();
  }
}
