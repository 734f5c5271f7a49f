import { StatusError } from '../kube/status.ts';
import { SYSTEM_MASTERS } from '../kube/user-info.ts';
import type { UserInfo } from '../kube/user-info.ts';

/** Requests are limited apart: streams that live for hours must not use up the places of short reads and writes. */
export type RequestClass = 'readOnly' | 'mutating' | 'longRunning';

/** At most so many at once; 0 means no limit (`--max-requests-inflight`, `--max-mutating-requests-inflight`). */
export type InFlightLimits = Readonly<Record<RequestClass, number>>;

export const defaultInFlightLimits: InFlightLimits = { readOnly: 400, mutating: 200, longRunning: 10_000 };

export interface InFlight {
  /** Takes a place and gives the function that frees it; throws TooManyRequests (429) when there is none. */
  enter(requestClass: RequestClass, user: UserInfo): () => void;
  readonly counts: Readonly<Record<RequestClass, number>>;
}

/** kube-apiserver's max-in-flight filter; the hub counts no /proxy request, so this is the only guard of them. */
export function createInFlight(limits: InFlightLimits): InFlight {
  const counts = { readOnly: 0, mutating: 0, longRunning: 0 };
  return {
    counts,
    enter: (requestClass, user) => {
      const limit = limits[requestClass];
      if (limit > 0 && counts[requestClass] >= limit && !user.groups.includes(SYSTEM_MASTERS)) {
        throw new StatusError('TooManyRequests', 'Too many requests, please try again later.', {
          details: { retryAfterSeconds: 1 },
        });
      }
      counts[requestClass] += 1;
      let left = false;
      return () => {
        if (left) return;
        left = true;
        counts[requestClass] -= 1;
      };
    },
  };
}
