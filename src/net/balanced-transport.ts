import { Failure } from '../base/failure.ts';
import type { OutgoingRequest, Transport } from './transport.ts';

/** One of several servers that answer the same. */
export interface BalancedMember {
  /** Takes the place of the request's own. */
  readonly authority: string;
  readonly transport: Transport;
}

/** Milliseconds that a member is left alone after a failed dial, doubled with each further one. */
const firstPauseMs = 1_000;
const maxPauseMs = 30_000;

/**
 * Several servers as one: each request goes to the one with the fewest unanswered, in turn where they are equal. One that
 * cannot be dialled is left alone for a while, and its request, of which nothing was sent, goes to the next.
 */
export function createBalancedTransport(
  members: readonly BalancedMember[],
  { now = () => performance.now() }: { now?: () => number } = {},
): Transport {
  const places = members.map((member) => new Place(member));
  let turn = 0;
  const inOrder = (): Place[] => {
    turn = (turn + 1) % places.length;
    const time = now();
    return [...places.slice(turn), ...places.slice(0, turn)].sort(
      (one, other) => one.badness(time) - other.badness(time),
    );
  };
  const send = async <T>(request: OutgoingRequest, how: 'request' | 'upgrade'): Promise<T> => {
    let failure: unknown;
    for (const place of inOrder()) {
      try {
        return (await place.send(request, how)) as T;
      } catch (error) {
        failure = error;
        if (!couldNotDial(error)) throw error;
        place.leaveAlone(now());
        if (request.signal.aborted) throw error;
      }
    }
    throw failure;
  };
  return {
    request: (request) => send(request, 'request'),
    upgrade: (request) => send(request, 'upgrade'),
    connections: () => {
      const sum = { http2: 0, http1: 0, upgraded: 0 };
      for (const { transport } of members) {
        const { http2, http1, upgraded } = transport.connections();
        sum.http2 += http2;
        sum.http1 += http1;
        sum.upgraded += upgraded;
      }
      return sum;
    },
    close: () => Promise.all(members.map(({ transport }) => transport.close())).then(() => undefined),
    destroy: (reason) => members.forEach(({ transport }) => transport.destroy(reason)),
  };
}

/** A member and how it has fared. */
class Place {
  readonly #member: BalancedMember;
  #unanswered = 0;
  #aloneUntil = 0;
  #pauseMs = firstPauseMs;

  constructor(member: BalancedMember) {
    this.#member = member;
  }

  /** The least is asked first; those that are left alone come last, whoever's time is next before the others. */
  badness(time: number): number {
    return this.#aloneUntil > time ? 1e9 + this.#aloneUntil - time : this.#unanswered;
  }

  async send(request: OutgoingRequest, how: 'request' | 'upgrade'): Promise<unknown> {
    const { transport, authority } = this.#member;
    this.#unanswered += 1;
    try {
      const answer = await transport[how]({ ...request, authority });
      this.#pauseMs = firstPauseMs;
      this.#aloneUntil = 0;
      return answer;
    } finally {
      this.#unanswered -= 1;
    }
  }

  leaveAlone(time: number): void {
    if (this.#aloneUntil > time) return;
    this.#aloneUntil = time + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, maxPauseMs);
  }
}

/** Nothing of the request was sent, and another server may fare better. */
function couldNotDial(error: unknown): boolean {
  return (
    error instanceof Failure &&
    !error.sent &&
    (error.kind === 'unreachable' || error.kind === 'timeout' || error.kind === 'untrusted')
  );
}
