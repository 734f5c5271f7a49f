import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';

/** An answer of an API server. */
export interface ApiAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON. Throws when it is none. */
  json(): unknown;
}

export interface ApiCall {
  readonly method?: string;
  /** JSON body. */
  readonly body?: unknown;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** A plain HTTPS client of one API server, for setting worlds up; scenarios use kubectl and real clients. */
export interface ApiClient {
  call(path: string, options?: ApiCall): Promise<ApiAnswer>;
  /** As `call`, but a status of 400 and above is thrown. */
  expect(path: string, options?: ApiCall): Promise<unknown>;
  close(): void;
}

export interface ApiIdentity {
  readonly url: string;
  readonly caPem: string;
  readonly certificatePem?: string;
  readonly keyPem?: string;
  readonly token?: string;
  /** Path of a Unix socket that leads to the server, where its address does not. */
  readonly socketPath?: string;
}

/** Creates a client; nothing is connected before the first call. */
export function createApiClient(identity: ApiIdentity): ApiClient {
  const agent = new Agent({
    keepAlive: true,
    ca: identity.caPem,
    ...(identity.certificatePem === undefined ? {} : { cert: identity.certificatePem }),
    ...(identity.keyPem === undefined ? {} : { key: identity.keyPem }),
  });
  const call = (path: string, options: ApiCall = {}): Promise<ApiAnswer> =>
    send({ agent, url: new URL(path, identity.url), identity, options });
  return {
    call,
    async expect(path, options = {}) {
      const answer = await call(path, options);
      if (answer.status >= 400) {
        throw new Error(`${options.method ?? 'GET'} ${path}: ${answer.status} ${answer.text.slice(0, 500)}`);
      }
      return answer.json();
    },
    close: () => agent.destroy(),
  };
}

interface Sending {
  readonly agent: Agent;
  readonly url: URL;
  readonly identity: ApiIdentity;
  readonly options: ApiCall;
}

function send({ agent, url, identity, options }: Sending): Promise<ApiAnswer> {
  const { token, socketPath } = identity;
  const body = options.body === undefined ? undefined : JSON.stringify(options.body);
  const headers: Record<string, string> = { accept: 'application/json', ...options.headers };
  if (body !== undefined) headers['content-type'] = options.contentType ?? 'application/json';
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        ...{ agent, method: options.method ?? 'GET', headers, timeout: options.timeoutMs ?? 5000 },
        ...(socketPath === undefined ? {} : { socketPath }),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk)).once('error', reject);
        response.once('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const { headers, statusCode: status = 0 } = response;
          resolve({ status, headers, text, json: () => JSON.parse(text) as unknown });
        });
      },
    );
    sent.once('error', reject);
    sent.once('timeout', () => sent.destroy(new Error(`no answer from ${url.host} in time`)));
    sent.end(body);
  });
}
