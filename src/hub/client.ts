import { Readable } from 'node:stream';
import { Failure } from '../base/failure.ts';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';
import type { TransportLimits } from '../net/create-transport.ts';
import type { IncomingResponse } from '../net/transport.ts';
import { statusFromAnswer } from './answer-status.ts';
import { linkSignal, untilAborted } from './deadline.ts';
import { HubTransport } from './hub-transport.ts';
import type { HubConfig } from './kubeconfig.ts';
import { jsonLines, parseJson, readBody } from './response-body.ts';

export interface HubRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal: AbortSignal;
  /** Of this call alone, with its body; 30 s unless said. */
  readonly timeoutMs?: number;
}

export interface HubWatch {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Called when the hub has accepted the watch: its first event may be long in coming. */
  readonly onOpen?: () => void;
}

/** The gateway's own calls to the hub: JSON over pooled HTTP/2. */
export interface HubClient extends Closable {
  /** The answer's JSON. Rejects with a StatusError for what the hub refuses, with a Failure when it cannot be reached. */
  request(request: HubRequest): Promise<unknown>;
  /** One JSON value for each event; ends when the hub ends the watch, throws when it breaks. */
  watch(watch: HubWatch): AsyncIterable<unknown>;
  /** Connections open now: for metrics and tests. */
  readonly connections: number;
}

export interface HubClientOptions {
  readonly config: HubConfig;
  readonly userAgent: string;
  readonly log: Log;
  /** Of the connections: PINGs every 10 s, lost after 5 s more, unless said. */
  readonly limits?: Partial<TransportLimits>;
}

/** Of one page of a list: 500 Secrets of 100 KB each. */
const maxAnswerBytes = 64 * 1024 * 1024;
const maxRefusalBytes = 1024 * 1024;
const maxEventBytes = 16 * 1024 * 1024;
const defaultTimeoutMs = 30_000;
/** A hub that accepts a connection and says nothing is not there. */
const watchHeadTimeoutMs = 15_000;

/**
 * Makes the client; nothing is opened before the first call.
 *
 * @example
 * const client = createHubClient({ config: loadHubConfig({}), userAgent: 'cluster-gateway/1.0', log });
 * const version = await client.request({ method: 'GET', path: '/version', signal });
 */
export function createHubClient(options: HubClientOptions): HubClient {
  return new TransportHubClient(options);
}

interface Sending {
  readonly signal: AbortSignal;
  readonly longRunning: boolean;
  /** The last answer was 401: read credentials and certificates anew. */
  readonly fresh: boolean;
}

class TransportHubClient implements HubClient {
  readonly #options: HubClientOptions;
  readonly #transport: HubTransport;

  constructor(options: HubClientOptions) {
    this.#options = options;
    this.#transport = new HubTransport(options);
  }

  get connections(): number {
    return this.#transport.connections;
  }

  async request(request: HubRequest): Promise<unknown> {
    const { signal, release } = linkSignal(
      request.signal,
      request.timeoutMs ?? defaultTimeoutMs,
      `${request.method} ${request.path} at the hub`,
    );
    try {
      const answer = await this.#send(request, { signal, longRunning: false });
      if (answer.status < 200 || answer.status > 299) throw await refusal(answer);
      const text = await readBody(answer, maxAnswerBytes);
      if (text === '') return undefined;
      const parsed = parseJson(text);
      if (!parsed) throw new Failure('reset', 'the hub answered with something that is not JSON');
      return parsed.value;
    } finally {
      release();
    }
  }

  async *watch({ path, query, signal: parent, onOpen }: HubWatch): AsyncIterable<unknown> {
    const { signal, clearTimer, release } = linkSignal(
      parent,
      watchHeadTimeoutMs,
      `the hub's answer to a watch of ${path}`,
    );
    try {
      const answer = await this.#send(
        { method: 'GET', path, query: { ...query, watch: 'true' }, signal },
        { signal, longRunning: true },
      );
      if (answer.status !== 200) throw await refusal(answer);
      clearTimer();
      onOpen?.();
      yield* jsonLines(answer.body, maxEventBytes);
    } finally {
      release();
    }
  }

  async #send(request: HubRequest, how: Omit<Sending, 'fresh'>): Promise<IncomingResponse> {
    const answer = await this.#sendOnce(request, { ...how, fresh: false });
    if (answer.status !== 401) return answer;
    // The token or the certificate has rotated: it is read again, once.
    answer.body.on('error', () => undefined).destroy();
    return this.#sendOnce(request, { ...how, fresh: true });
  }

  async #sendOnce(request: HubRequest, { signal, longRunning, fresh }: Sending): Promise<IncomingResponse> {
    const { config, userAgent } = this.#options;
    // Authorization first: a plugin gives token and certificate together, and runs once.
    const authorization = await untilAborted(config.authorization(fresh), signal);
    const transport = await untilAborted(this.#transport.get(fresh), signal);
    const query = new URLSearchParams(request.query ?? {}).toString();
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    return transport.request({
      method: request.method,
      target: `${config.basePath}${request.path}${query === '' ? '' : `?${query}`}`,
      authority: config.authority,
      headers: [
        ...['accept', 'application/json', 'user-agent', userAgent],
        ...(body ? ['content-type', request.contentType ?? 'application/json'] : []),
        ...(body ? ['content-length', String(body.length)] : []),
        ...(authorization ? ['authorization', authorization.reveal()] : []),
      ],
      ...(body ? { body: Readable.from([body]) } : {}),
      signal,
      longRunning,
    });
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  destroy(reason?: unknown): void {
    this.#transport.destroy(reason);
  }
}

const refusal = async (answer: IncomingResponse) =>
  statusFromAnswer(answer.status, await readBody(answer, maxRefusalBytes));
