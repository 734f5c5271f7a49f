import { StatusError } from '../kube/status.ts';
import { SYSTEM_MASTERS } from '../kube/user-info.ts';
import type { UserInfo } from '../kube/user-info.ts';
import { FairQueue, Refused } from './fair-queue.ts';
import type { Leave, Patience, RefusalReason } from './fair-queue.ts';

/** Requests are limited apart: streams that live for hours must not use up the places of short reads and writes. */
export type RequestClass = 'readOnly' | 'mutating' | 'longRunning';

export const requestClasses: readonly RequestClass[] = ['readOnly', 'mutating', 'longRunning'];

/** At most so many at once; 0 means no limit (`--max-requests-inflight`, `--max-mutating-requests-inflight`). */
export type InFlightLimits = Readonly<Record<RequestClass, number>>;

export const defaultInFlightLimits: InFlightLimits = { readOnly: 400, mutating: 200, longRunning: 10_000 };

/** The share of a limit that one user may take while nobody else wants any (`--max-inflight-share-per-user`). */
export const defaultSharePerUser = 0.75;

export interface InFlightObserver {
  /** A request was answered 429, or its caller went away from the queue. */
  refused(requestClass: RequestClass, reason: RefusalReason): void;
  /** A request that had to wait waits no more; `seconds` may be 0. */
  waited(requestClass: RequestClass, seconds: number, execute: boolean): void;
}

export interface InFlight {
  readonly limits: InFlightLimits;
  /** Requests that have a place, system:masters' among them. */
  readonly counts: Readonly<Record<RequestClass, number>>;
  /** Requests that wait for one. */
  readonly waiting: Readonly<Record<RequestClass, number>>;
  /**
   * Takes a place and gives the function that frees it; a promise where the request has to wait. Throws, or rejects
   * with, TooManyRequests. Long-running requests never wait.
   */
  enter(requestClass: RequestClass, user: UserInfo, patience: Patience): Leave | Promise<Leave>;
  observe(observer: InFlightObserver): void;
}

/** There is no place for the request: 429, to be sent again after a second. */
export class TooManyRequests extends StatusError {
  constructor(cause: Refused) {
    super('TooManyRequests', 'Too many requests, please try again later.', {
      details: { retryAfterSeconds: 1 },
      cause,
    });
  }
}

/** So many may wait for each place: at a tenth of a second each, whoever comes last waits less than half a second. */
const waitingPerPlace = 4;
const maxWaiting = 10_000;

/**
 * kube-apiserver's max-in-flight filter with the fairness of API Priority and Fairness (apiserver pkg/util/flowcontrol):
 * the hub counts no /proxy request, so this is the only guard of them. Callers are told apart by user name, as the
 * default flow schemas do: of each service account there is one, anonymous callers are one together, and behind the
 * hub it is the hub's user. system:masters need no place and take none from others (the `exempt` flow schema).
 */
export function createInFlight(limits: InFlightLimits, sharePerUser = defaultSharePerUser): InFlight {
  const lanes = {
    readOnly: laneOf(limits.readOnly, sharePerUser),
    mutating: laneOf(limits.mutating, sharePerUser),
    longRunning: laneOf(limits.longRunning, sharePerUser, 0),
  };
  const observers: InFlightObserver[] = [];
  const refuse = (requestClass: RequestClass, cause: Refused) => {
    for (const observer of observers) observer.refused(requestClass, cause.reason);
    return new TooManyRequests(cause);
  };
  const wait = async (requestClass: RequestClass, queue: FairQueue, entry: Entry): Promise<Leave> => {
    const startedAt = performance.now();
    let leave: Leave | undefined;
    try {
      leave = await queue.wait(entry.flow, entry.patience);
      return leave;
    } catch (error) {
      throw error instanceof Refused ? refuse(requestClass, error) : error;
    } finally {
      const seconds = (performance.now() - startedAt) / 1000;
      for (const observer of observers) observer.waited(requestClass, seconds, leave !== undefined);
    }
  };
  return {
    limits,
    counts: perClass((each) => lanes[each].exempt + (lanes[each].queue?.taken ?? 0)),
    waiting: perClass((each) => lanes[each].queue?.waiting ?? 0),
    observe: (observer) => observers.push(observer),
    enter: (requestClass, user, patience) => {
      const lane = lanes[requestClass];
      const { queue } = lane;
      if (!queue || user.groups.includes(SYSTEM_MASTERS)) return enterExempt(lane);
      const leave = queue.enter(user.name);
      if (leave) return leave;
      if (requestClass === 'longRunning') throw refuse(requestClass, new Refused('concurrency-limit'));
      return wait(requestClass, queue, { flow: user.name, patience });
    },
  };
}

interface Entry {
  readonly flow: string;
  readonly patience: Patience;
}

/** One class: those who need a place, and the number of those who need none. */
interface Lane {
  readonly queue: FairQueue | undefined;
  exempt: number;
}

function laneOf(limit: number, share: number, perPlace = waitingPerPlace): Lane {
  const queue =
    limit > 0
      ? new FairQueue({ limit, share, maxWaiting: Math.min(limit * perPlace, maxWaiting) })
      : undefined;
  return { queue, exempt: 0 };
}

function enterExempt(lane: Lane): Leave {
  lane.exempt += 1;
  let left = false;
  return () => {
    if (left) return;
    left = true;
    lane.exempt -= 1;
  };
}

/** Read anew each time. */
function perClass(count: (requestClass: RequestClass) => number): Readonly<Record<RequestClass, number>> {
  return {
    get readOnly() {
      return count('readOnly');
    },
    get mutating() {
      return count('mutating');
    },
    get longRunning() {
      return count('longRunning');
    },
  };
}
