import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, errorText } from '../base/failure.ts';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';
import { createTransport } from '../net/create-transport.ts';
import type { TransportLimits } from '../net/create-transport.ts';
import { dialFor } from '../net/dial-for.ts';
import { createClientTls } from '../net/tls.ts';
import type { Transport } from '../net/transport.ts';
import type { HubConfig } from './kubeconfig.ts';

export interface HubTransportOptions {
  readonly config: HubConfig;
  readonly log: Log;
  readonly limits?: Partial<TransportLimits>;
}

/** Certificate files are looked at again this often, when there are requests. */
const rereadMs = 10_000;
/** What was accepted may end within this when the client closes. */
const closeGraceMs = 5_000;
/** Shorter than for clusters: all of the gateway waits for its hub, and a dead one must be noticed and found again soon. */
const dialTimeoutMs = 5_000;
const defaultLimits: Partial<TransportLimits> = {
  pingIntervalMs: 10_000,
  pingTimeoutMs: 5_000,
  handshakeTimeoutMs: 5_000,
};

interface Current {
  readonly fingerprint: string;
  readonly transport: Transport;
  checkedAt: number;
}

/** The connection pool to the hub; made anew when a certificate file was replaced. */
export class HubTransport implements Closable {
  readonly #options: HubTransportOptions;
  /** Also those whose material is old, until their last watch has ended. */
  readonly #all = new Set<Transport>();
  #current: Current | undefined;
  #opening: Promise<Transport> | undefined;
  #ended = false;

  constructor(options: HubTransportOptions) {
    this.#options = options;
  }

  get connections(): number {
    return [...this.#all].reduce((sum, transport) => {
      const { http2, http1 } = transport.connections();
      return sum + http2 + http1;
    }, 0);
  }

  /** `fresh`: the material was refused, look at once whether there is another. */
  get(fresh = false): Promise<Transport> {
    if (this.#ended) return Promise.reject(endedFailure());
    if (!fresh && this.#current && performance.now() - this.#current.checkedAt < rereadMs)
      return Promise.resolve(this.#current.transport);
    this.#opening ??= this.#open(fresh).finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(fresh: boolean): Promise<Transport> {
    const before = this.#current;
    try {
      const next = await this.#make(before, fresh);
      this.#current = next;
      if (next.transport !== before?.transport && before) this.#retire(before.transport);
      return next.transport;
    } catch (error) {
      // Half of a pair may be written: what was good goes on until both are.
      if (!before || this.#ended) throw error;
      const reason = errorText(error);
      this.#options.log.warn({ reason }, 'the TLS files for the hub cannot be read; the last ones are kept');
      before.checkedAt = performance.now();
      return before.transport;
    }
  }

  async #make(before: Current | undefined, fresh: boolean): Promise<Current> {
    const { config, limits } = this.#options;
    const tls = await config.tls(fresh);
    if (this.#ended) throw endedFailure();
    const fingerprint = createHash('sha256').update(JSON.stringify(tls)).digest('base64');
    const checkedAt = performance.now();
    if (before?.fingerprint === fingerprint) return { ...before, checkedAt };
    const transport = createTransport({
      address: config.address,
      dial: dialFor(config.proxyUrl?.reveal(), { timeoutMs: dialTimeoutMs }),
      tls: createClientTls(tls),
      limits: { ...defaultLimits, ...limits },
    });
    this.#all.add(transport);
    return { fingerprint, transport, checkedAt };
  }

  #retire(transport: Transport): void {
    void transport
      .close()
      .catch(() => undefined)
      .finally(() => this.#all.delete(transport));
  }

  async close(): Promise<void> {
    this.#ended = true;
    const grace = new AbortController();
    const closing = Promise.allSettled([...this.#all].map((transport) => transport.close()));
    const late = sleep(closeGraceMs, undefined, { signal: grace.signal }).catch(() => undefined);
    await Promise.race([closing, late]);
    grace.abort();
    this.destroy();
  }

  destroy(reason?: unknown): void {
    this.#ended = true;
    for (const transport of this.#all) transport.destroy(reason);
    this.#all.clear();
  }
}

const endedFailure = () => new Failure('cancelled', 'the hub client has ended');
