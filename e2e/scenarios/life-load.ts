import { connect, type ClientHttp2Session, constants } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';

/** A server that load is sent to. */
export interface LoadTarget {
  readonly url: string;
  readonly caPem: string;
}

export interface LoadOptions {
  readonly path: string;
  /** At most: no more than 50 are on their way at once, so that a slow machine is not buried. */
  readonly perSecond: number;
  readonly certificatePem?: string;
  readonly keyPem?: string;
  readonly token?: string;
  /** Where the next request goes. */
  readonly target: () => LoadTarget;
  /** Connections to each target. */
  readonly connections?: number;
}

/** What became of one request; `status` 0: no answer. */
export interface LoadResult {
  readonly at: number;
  readonly ms: number;
  readonly status: number;
  readonly error: string;
}

export interface Load {
  readonly results: readonly LoadResult[];
  /** Sends no more and waits for what is on its way. */
  stop(): Promise<readonly LoadResult[]>;
}

/**
 * Sends GETs at a steady rate over HTTP/2, as client-go would: a request that the server says it has not processed
 * (REFUSED_STREAM, or beyond the last stream of a GOAWAY) goes out again, on a new connection.
 */
export function startLoad(options: LoadOptions): Load {
  const results: LoadResult[] = [];
  const pools = new Map<string, Pool>();
  const open = new Set<Promise<void>>();
  const state = { stopped: false };
  const send = async (): Promise<void> => {
    const at = performance.now();
    const { status, error } = await attempt(options, pools, 3);
    results.push({ at, ms: performance.now() - at, status, error });
  };
  const running = (async () => {
    const begun = performance.now();
    let sent = 0;
    while (!state.stopped) {
      const due = ((performance.now() - begun) / 1000) * options.perSecond;
      for (; sent < due && open.size < 50; sent += 1) {
        const one: Promise<void> = send().finally(() => open.delete(one));
        open.add(one);
      }
      // What a slow machine did not manage is not made up for.
      sent = Math.max(sent, due - 50);
      await sleep(5);
    }
  })();
  return {
    results,
    async stop() {
      state.stopped = true;
      await running;
      await Promise.all(open);
      for (const pool of pools.values()) pool.close();
      return results;
    },
  };
}

async function attempt(
  options: LoadOptions,
  pools: Map<string, Pool>,
  tries: number,
): Promise<{ status: number; error: string }> {
  const target = options.target();
  let pool = pools.get(target.url);
  if (pool === undefined) pools.set(target.url, (pool = new Pool(target, options)));
  const { status, error, unprocessed } = await get(pool.next(), options);
  return unprocessed && tries > 1 ? attempt(options, pools, tries - 1) : { status, error };
}

/** Connections that take turns; one that the server says goodbye to is replaced. */
class Pool {
  readonly #sessions: ClientHttp2Session[] = [];
  readonly #connect: () => ClientHttp2Session;
  #turn = 0;

  constructor({ url, caPem }: LoadTarget, { certificatePem, keyPem, connections = 4 }: LoadOptions) {
    this.#connect = () => {
      const session = connect(url, {
        ca: caPem,
        ...(certificatePem === undefined ? {} : { cert: certificatePem }),
        ...(keyPem === undefined ? {} : { key: keyPem }),
      });
      session.on('error', () => {});
      session.on('goaway', () => this.#forget(session));
      session.on('close', () => this.#forget(session));
      return session;
    };
    for (let i = 0; i < connections; i += 1) this.#sessions.push(this.#connect());
  }

  next(): ClientHttp2Session {
    this.#turn += 1;
    const session = this.#sessions[this.#turn % this.#sessions.length];
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    const fresh = this.#connect();
    this.#sessions.push(fresh);
    return fresh;
  }

  #forget(session: ClientHttp2Session): void {
    const at = this.#sessions.indexOf(session);
    if (at >= 0) this.#sessions.splice(at, 1);
  }

  close(): void {
    for (const session of [...this.#sessions]) session.destroy();
  }
}

async function get(
  session: ClientHttp2Session,
  { path, token }: LoadOptions,
): Promise<{ status: number; error: string; unprocessed: boolean }> {
  try {
    const stream = session.request({
      ':path': path,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    });
    stream.setTimeout(20_000, () => stream.close(constants.NGHTTP2_CANCEL));
    const seen = { status: 0, failure: '', ended: false };
    stream.on('response', (headers) => (seen.status = Number(headers[':status'])));
    stream.on('error', (error: Error) => (seen.failure = error.message));
    stream.on('end', () => (seen.ended = true));
    stream.resume();
    await new Promise<void>((resolve) => stream.once('close', () => resolve()));
    const { status, failure, ended } = seen;
    const code = stream.rstCode;
    const unprocessed =
      status === 0 && (code === constants.NGHTTP2_REFUSED_STREAM || stream.id === undefined);
    if (status !== 0 && ended && code === 0) return { status, error: '', unprocessed };
    return { status: 0, error: `${failure || 'no answer'} (RST ${code})`, unprocessed };
  } catch (error) {
    // The session had ended before the request was made.
    return { status: 0, error: String(error), unprocessed: true };
  }
}

/** The value below which that part of the requests took. */
export function percentile(results: readonly LoadResult[], part: number): number {
  const sorted = results.map(({ ms }) => ms).toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

/** How often each outcome came: `200`, or the error. */
export function outcomes(results: readonly LoadResult[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status, error } of results) {
    const key = status === 0 ? error : String(status);
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
