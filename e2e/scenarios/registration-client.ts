import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';

/** Whom a client speaks to, and as whom. */
export interface ClientIdentity {
  /** https://127.0.0.1:port */
  readonly url: string;
  readonly caPem: string;
  readonly certificatePem?: string;
  readonly keyPem?: string;
  readonly token?: string;
}

export interface CallOptions {
  readonly method?: string;
  /** Lines as name, value, name, value …: sent as they are, order and duplicates kept. */
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly timeoutMs?: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** From the call to the last byte. */
  readonly ms: number;
  json(): AnswerBody;
}

/** What scenarios read of a Status or of an object. */
export interface AnswerBody {
  readonly kind?: string;
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: {
    readonly name?: string;
    readonly kind?: string;
    readonly group?: string;
    readonly causes?: readonly { readonly reason?: string }[];
  };
  readonly metadata?: { readonly name?: string; readonly uid?: string };
  readonly status?: unknown;
}

/** An HTTPS client that changes nothing of what it is told to send. */
export interface Client {
  call(path: string, options?: CallOptions): Promise<Answer>;
  /** Resolves when the answer's head is there. */
  open(path: string, options?: CallOptions): Promise<IncomingMessage>;
  /** A TLS connection of its own, HTTP/1.1. */
  connect(): Promise<TLSSocket>;
  /** Writes text on a connection of its own and gives what came back until it closed, or until nothing came for a while. */
  raw(text: string, quietMs?: number): Promise<string>;
  close(): void;
}

export function createClient(identity: ClientIdentity): Client {
  const { hostname, port } = new URL(identity.url);
  const credentials = {
    ca: identity.caPem,
    ...(identity.certificatePem === undefined ? {} : { cert: identity.certificatePem }),
    ...(identity.keyPem === undefined ? {} : { key: identity.keyPem }),
  };
  const agent = new Agent({ keepAlive: true, ...credentials });
  const open = async (path: string, options: CallOptions = {}): Promise<IncomingMessage> => {
    const lines = ['Host', `${hostname}:${port}`, ...(options.headers ?? [])];
    if (identity.token !== undefined) lines.push('Authorization', `Bearer ${identity.token}`);
    if (options.body !== undefined) lines.push('Content-Length', String(Buffer.byteLength(options.body)));
    const sent = request({
      ...{ agent, hostname, port, path, method: options.method ?? 'GET' },
      headers: lines,
      timeout: options.timeoutMs ?? 15_000,
    });
    sent.once('timeout', () => sent.destroy(new Error(`no answer to ${path} in time`)));
    sent.end(options.body);
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    // Whoever reads the rest is told of its end by other events, too.
    sent.on('error', () => {});
    return response;
  };
  const connectTls = async (): Promise<TLSSocket> => {
    const socket = connect({
      host: hostname,
      port: Number(port),
      ALPNProtocols: ['http/1.1'],
      ...credentials,
    });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    return socket;
  };
  return {
    open,
    connect: connectTls,
    async call(path, options) {
      const started = performance.now();
      const response = await open(path, options);
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      const text = Buffer.concat(chunks).toString('utf8');
      const ms = performance.now() - started;
      const { headers, statusCode: status = 0 } = response;
      return { status, headers, text, ms, json: () => JSON.parse(text) as AnswerBody };
    },
    async raw(text, quietMs = 5000) {
      const socket = await connectTls();
      let said = '';
      socket.setTimeout(quietMs, () => socket.destroy());
      socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
      socket.write(text, 'latin1');
      if (!socket.closed) await once(socket, 'close');
      return said;
    },
    close: () => agent.destroy(),
  };
}
