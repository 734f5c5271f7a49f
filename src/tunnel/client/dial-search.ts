import { Failure } from '../../base/failure.ts';
import type { DialFailureReason } from './client-metrics.ts';
import type { DialOutcome } from './dial-outcome.ts';

/** Thrown by a dial: what its caller is told, and what is counted. */
export interface DialError {
  readonly failure: Failure;
  readonly reason: DialFailureReason;
}

/** Connections that are lost under a dial before it gives up. */
const mostLost = 2;

/** What one dial has learned from the servers that it asked. */
export class DialSearch {
  /** `host:port`: what agents are asked for. */
  readonly target: string;
  /** The name of the cluster. */
  readonly host: string;
  /** What is not asked again: connections, and addresses that stand for one server. */
  readonly asked = new Set<object>();
  /** How often a connection was waited for, by address. */
  readonly waits = new Map<object, number>();
  readonly waitedFor = new Set<Promise<void>>();
  #withoutAgent = 0;
  #lost = 0;
  #last: DialError | undefined;

  constructor(host: string, target: string) {
    this.host = host;
    this.target = target;
  }

  /** Servers that have no agent for the target. */
  get withoutAgent(): number {
    return this.#withoutAgent;
  }

  get lost(): number {
    return this.#lost;
  }

  /** Takes what a server answered; gives why the search ends, if it does. */
  learn(outcome: Exclude<DialOutcome, { type: 'open' }>): DialError | undefined {
    switch (outcome.type) {
      case 'no-agent':
        this.#withoutAgent += 1;
        return undefined;
      case 'unreachable':
        return undefined;
      case 'unusable':
        this.#last = outcome;
        return undefined;
      case 'lost':
        this.#last = outcome;
        this.#lost += 1;
        return this.#lost < mostLost ? undefined : outcome;
      case 'failed':
        return outcome;
    }
  }

  /** Why nobody could open the connection. `server` is the tunnel server's name, `unreachable` why some cannot be asked. */
  end(server: string, unreachable: readonly Failure[]): DialError {
    const [first] = unreachable;
    if (this.#withoutAgent > 0) {
      const others = first ? `; ${unreachable.length} cannot be asked: ${first.message}` : '';
      const message = `No agent available: no agent of ${JSON.stringify(this.host)} is connected to tunnel server ${server} (${this.#withoutAgent} asked${others})`;
      return { failure: new Failure('unreachable', message), reason: 'endpoint' };
    }
    if (this.#last) return this.#last;
    if (!first) {
      const message = `tunnel server ${server}: its connections carry as much as they may`;
      return { failure: new Failure('refused', message), reason: 'streamsetup' };
    }
    const kind = first.kind === 'untrusted' ? 'untrusted' : 'unreachable';
    const more = unreachable.length > 1 ? ` (and ${unreachable.length - 1} other addresses)` : '';
    const message = `tunnel server ${server} cannot be reached: ${first.message}${more}`;
    return { failure: new Failure(kind, message, { cause: first }), reason: 'streamsetup' };
  }
}
