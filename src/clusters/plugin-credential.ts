import { Backoff } from '../base/backoff.ts';

/** A credential that a plugin printed, and until when it is good. */
export interface PrintedCredential<T> {
  readonly credential: T;
  /** Milliseconds since the epoch; undefined: nobody says. */
  readonly expiresAt: number | undefined;
}

export interface PluginCredentialOptions<T> {
  /** Runs the plugin. */
  readonly run: () => Promise<PrintedCredential<T>>;
  /** Told why a run failed: once for each run, however many callers wait for it. */
  readonly onFailed: (error: unknown) => void;
  readonly now: () => number;
}

interface Current<T> extends PrintedCredential<T> {
  readonly printedAt: number;
  readonly renewAt: number;
}

/** Renewed this long before the end, or in the last fifth of a shorter life. */
const renewBeforeMs = 60_000;
const renewPart = 1 / 5;
/** One without an end is renewed after this long, and used on while that fails. */
const endlessRenewMs = 10 * 60_000;
/** A credential that was used so long without a 401 was a good one. */
const provenMs = 120_000;

/**
 * One cluster's plugin: what it printed last, and when it runs again. It runs when somebody needs it, once for all who
 * wait; behind them while the last credential is good; and after a failure or a 401 not before a pause that grows, so
 * that nobody can make it run as often as they like.
 */
export class PluginCredential<T> {
  readonly #options: PluginCredentialOptions<T>;
  readonly #failures = new Backoff({ initialMs: 1_000, maxMs: 30_000, jitter: 0 });
  readonly #refusals = new Backoff({ initialMs: 1_000, maxMs: 60_000, jitter: 0 });
  #current: Current<T> | undefined;
  #running: Promise<T> | undefined;
  #last: Promise<T> | undefined;
  /** The last run failed, and no other begins before this time; 0: it did not fail. */
  #failedUntil = 0;
  #refused = false;
  #refusalsCountAgainAt = 0;

  constructor(options: PluginCredentialOptions<T>) {
    this.#options = options;
  }

  /** When what is known ends; undefined: nothing is known, or it has no end. */
  get expiresAt(): number | undefined {
    return this.#current?.expiresAt;
  }

  /** The credential for the next request. Rejects with what the last run failed with while it is too early for another. */
  resolve(): T | Promise<T> {
    const now = this.#options.now();
    const current = this.#current;
    if (!current || now >= (current.expiresAt ?? Infinity)) {
      if (this.#running) return this.#running;
      return this.#last && now < this.#failedUntil ? this.#last : this.#start();
    }
    const { credential } = current;
    // As client-go: where the plugin fails, too, the old one goes on, for the cluster may have been wrong.
    if (this.#refused) return (this.#running ?? this.#start()).catch(() => credential);
    if (now >= current.renewAt && !this.#running && now >= this.#failedUntil)
      this.#start().catch(() => undefined);
    return credential;
  }

  /** The cluster answered 401 to a request with this credential: the next request has the plugin run first. */
  reject(credential: T): void {
    const now = this.#options.now();
    const current = this.#current;
    // An older one was renewed already.
    if (!current || current.credential !== credential || this.#refused) return;
    if (now < this.#refusalsCountAgainAt) return;
    // Whoever can make a program behind the cluster's API answer 401 must not make plugins run all the time.
    if (now - current.printedAt > provenMs) this.#refusals.reset();
    this.#refusalsCountAgainAt = now + this.#refusals.next();
    this.#refused = true;
  }

  #start(): Promise<T> {
    this.#last = this.#running = this.#run().finally(() => {
      this.#running = undefined;
      this.#refused = false;
    });
    return this.#running;
  }

  async #run(): Promise<T> {
    const { run, now, onFailed } = this.#options;
    try {
      const printed = await run();
      this.#current = { ...printed, printedAt: now(), renewAt: renewTime(printed, now()) };
      this.#failedUntil = 0;
      this.#failures.reset();
      return printed.credential;
    } catch (error) {
      this.#failedUntil = now() + this.#failures.next();
      onFailed(error);
      throw error;
    }
  }
}

function renewTime({ expiresAt }: PrintedCredential<unknown>, now: number): number {
  if (expiresAt === undefined) return now + endlessRenewMs;
  return expiresAt - Math.min(renewBeforeMs, (expiresAt - now) * renewPart);
}
