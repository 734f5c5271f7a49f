import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../base/failure.ts';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';
import { createTransport } from '../net/create-transport.ts';
import { dialFor } from '../net/dial-for.ts';
import { createClientTls } from '../net/tls.ts';
import type { ClientTlsOptions } from '../net/tls.ts';
import type { IncomingResponse, Transport } from '../net/transport.ts';
import { statusFromAnswer } from './answer-status.ts';
import type { HubConfig } from './kubeconfig.ts';
import { jsonLines, readBody } from './response-body.ts';

export interface HubRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal: AbortSignal;
  /** Of this call alone; 30 s unless said. */
  readonly timeoutMs?: number;
}

export interface HubWatch {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** The gateway's own calls to the hub: JSON over pooled HTTP/2. */
export interface HubClient extends Closable {
  /** The answer's JSON. Rejects with a StatusError for what the hub refuses, with a Failure when it cannot be reached. */
  request(request: HubRequest): Promise<unknown>;
  /** One JSON value for each event; ends when the hub ends the watch, throws when it breaks. */
  watch(watch: HubWatch): AsyncIterable<unknown>;
}

export interface HubClientOptions {
  readonly config: HubConfig;
  readonly userAgent: string;
  readonly log: Log;
}

/** A list of ten thousand Secrets is some tens of megabytes. */
const maxAnswerBytes = 256 * 1024 * 1024;
const maxEventBytes = 16 * 1024 * 1024;
const defaultTimeoutMs = 30_000;
/** Certificate files are looked at again this often, when there are requests. */
const tlsRereadMs = 30_000;
/** A hub that accepts a connection and says nothing is not there. */
const watchHeadTimeoutMs = 15_000;

export function createHubClient(options: HubClientOptions): HubClient {
  return new TransportHubClient(options);
}

class TransportHubClient implements HubClient {
  readonly #options: HubClientOptions;
  #current: { readonly key: string; readonly transport: Transport; checkedAt: number } | undefined;
  #opening: Promise<Transport> | undefined;
  #ended = false;

  constructor(options: HubClientOptions) {
    this.#options = options;
  }

  async request(request: HubRequest): Promise<unknown> {
    const signal = AbortSignal.any([
      request.signal,
      AbortSignal.timeout(request.timeoutMs ?? defaultTimeoutMs),
    ]);
    const answer = await this.#send(request, { signal, longRunning: false });
    const text = await readBody(answer, maxAnswerBytes);
    if (answer.status < 200 || answer.status > 299) throw statusFromAnswer(answer.status, text);
    return text === '' ? undefined : (JSON.parse(text) as unknown);
  }

  async *watch({ path, query, signal }: HubWatch): AsyncIterable<unknown> {
    const head = new AbortController();
    const timer = setTimeout(
      () => head.abort(new Failure('timeout', 'the hub did not answer a watch')),
      watchHeadTimeoutMs,
    );
    let answer: IncomingResponse;
    try {
      answer = await this.#send(
        { method: 'GET', path, query: { ...query, watch: 'true' }, signal },
        { signal: AbortSignal.any([signal, head.signal]), longRunning: true },
      );
    } finally {
      clearTimeout(timer);
    }
    if (answer.status !== 200) throw statusFromAnswer(answer.status, await readBody(answer, maxEventBytes));
    yield* jsonLines(answer.body, maxEventBytes);
  }

  async #send(
    request: HubRequest,
    how: { signal: AbortSignal; longRunning: boolean },
  ): Promise<IncomingResponse> {
    const answer = await this.#sendOnce(request, how, false);
    if (answer.status !== 401) return answer;
    // The token has rotated: the file is read again, once.
    answer.body.destroy();
    return this.#sendOnce(request, how, true);
  }

  async #sendOnce(
    request: HubRequest,
    how: { signal: AbortSignal; longRunning: boolean },
    fresh: boolean,
  ): Promise<IncomingResponse> {
    const { config, userAgent } = this.#options;
    const transport = await this.#transport();
    const authorization = await config.authorization(fresh);
    const query = new URLSearchParams(request.query ?? {}).toString();
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    return transport.request({
      method: request.method,
      target: `${config.basePath}${request.path}${query === '' ? '' : `?${query}`}`,
      authority: config.authority,
      headers: [
        'accept',
        'application/json',
        'user-agent',
        userAgent,
        ...(body
          ? ['content-type', request.contentType ?? 'application/json', 'content-length', String(body.length)]
          : []),
        ...(authorization ? ['authorization', authorization.reveal()] : []),
      ],
      ...(body ? { body: Readable.from([body]) } : {}),
      signal: how.signal,
      longRunning: how.longRunning,
    });
  }

  /** The connection pool; made anew when a certificate file was replaced. */
  #transport(): Promise<Transport> {
    if (this.#ended) return Promise.reject(new Failure('cancelled', 'the hub client has ended'));
    if (this.#current && Date.now() - this.#current.checkedAt < tlsRereadMs)
      return Promise.resolve(this.#current.transport);
    this.#opening ??= this.#openTransport().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #openTransport(): Promise<Transport> {
    const { config, log } = this.#options;
    let tls: ClientTlsOptions;
    try {
      tls = await config.tls();
    } catch (error) {
      if (!this.#current) throw error;
      log.warn({ err: error }, 'the TLS files of the kubeconfig cannot be read; the last ones are kept');
      this.#current.checkedAt = Date.now();
      return this.#current.transport;
    }
    const key = JSON.stringify(tls);
    if (this.#current?.key === key) {
      this.#current.checkedAt = Date.now();
      return this.#current.transport;
    }
    const before = this.#current;
    const transport = createTransport({
      address: config.address,
      dial: dialFor(config.proxyUrl?.reveal(), { timeoutMs: 10_000 }),
      tls: createClientTls(tls),
    });
    this.#current = { key, transport, checkedAt: Date.now() };
    void before?.transport.close();
    return transport;
  }

  async close(): Promise<void> {
    this.#ended = true;
    await Promise.race([this.#current?.transport.close(), sleep(5_000, undefined, { ref: false })]);
    this.destroy();
  }

  destroy(reason?: unknown): void {
    this.#ended = true;
    this.#current?.transport.destroy(reason);
  }
}
