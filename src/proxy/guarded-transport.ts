import { StatusError } from '../kube/status.ts';
import type { IncomingResponse, OutgoingRequest, Transport } from '../net/transport.ts';
import { CircuitBreaker } from './circuit-breaker.ts';

export interface GuardedTransport extends Transport {
  /** Requests fail at once: no connection could be made the last times. */
  readonly isBroken: boolean;
}

/**
 * Keeps one cluster from taking what the others need: no more than `maxUnanswered` short requests wait for its answer
 * at a time (0: no limit), and while no connection can be made, none does.
 */
export function guardTransport(
  transport: Transport,
  { maxUnanswered, breaker = new CircuitBreaker() }: { maxUnanswered: number; breaker?: CircuitBreaker },
): GuardedTransport {
  let unanswered = 0;
  const guarded = async <T>(send: () => Promise<T>): Promise<T> => {
    const attempt = breaker.begin();
    try {
      const answer = await send();
      attempt.succeeded();
      return answer;
    } catch (error) {
      attempt.failed(error);
      throw error;
    }
  };
  const short = async (outgoing: OutgoingRequest): Promise<IncomingResponse> => {
    if (maxUnanswered > 0 && unanswered >= maxUnanswered) throw tooMany();
    unanswered += 1;
    try {
      return await guarded(() => transport.request(outgoing));
    } finally {
      unanswered -= 1;
    }
  };
  return {
    // A followed log may have no answer for hours, as its program has nothing to say.
    request: (outgoing) =>
      outgoing.longRunning === true ? guarded(() => transport.request(outgoing)) : short(outgoing),
    upgrade: (outgoing) => guarded(() => transport.upgrade(outgoing)),
    get isBroken() {
      return breaker.isOpen;
    },
    connections: transport.connections,
    close: () => transport.close(),
    destroy: (reason) => transport.destroy(reason),
  };
}

const tooMany = () =>
  new StatusError('TooManyRequests', 'Too many requests wait for this cluster, please try again later.', {
    details: { retryAfterSeconds: 1 },
  });
