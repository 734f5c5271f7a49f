import { expect } from 'vitest';

import { type AuditEvent, auditSince } from '../scenarios/audit-log.ts';
import type { Client } from '../scenarios/registration-client.ts';
import { proxyPath } from '../scenarios/registration-world.ts';
import { until } from '../worlds/wait.ts';

/** A cluster as what it wrote in its audit log. */
export interface Witness {
  /** Who made the request with that mark, as the cluster saw it. Throws when it does not come. */
  identityOf(mark: string): Promise<SeenIdentity>;
  /**
   * All requests with that mark. Another request, of `honest`, is made and waited for first: whatever was sent before
   * it has arrived by then.
   */
  arrivedBefore(honest: Client, mark: string): Promise<readonly SeenRequest[]>;
}

export interface SeenIdentity {
  /** Whose credential it was. */
  readonly credential: string;
  /** Whom that credential impersonated; its groups without `system:authenticated`. */
  readonly user?: string;
  readonly groups?: readonly string[];
}

export interface SeenRequest extends SeenIdentity {
  readonly uri: string;
  readonly code?: number;
}

let marks = 0;

/** Text that stands in the path or the query of one request alone. */
export const newMark = (): string => `mark-${process.pid}-${(marks += 1)}x`;

/** An ordinary path of a cluster that has the mark in it. */
export const markedPath = (mark: string): string => `/api/v1/namespaces/${mark}`;

/** The cluster that the gateway has under a name, and its audit log. */
export function createWitness(name: string, cluster: () => { readonly auditLog: string }): Witness {
  const marked = async (mark: string): Promise<readonly AuditEvent[]> => {
    const events = await auditSince(cluster().auditLog, 0);
    // An event of each stage: the last says the outcome.
    const last = new Map(events.map((event) => [event.auditID + event.requestURI, event]));
    return [...last.values()].filter(({ requestURI }) => requestURI.includes(mark));
  };
  return {
    async identityOf(mark) {
      const find = async (): Promise<AuditEvent | undefined> => (await marked(mark))[0];
      return identityIn(await until(`${mark} at ${name}`, find, { timeoutMs: 5_000 }));
    },
    async arrivedBefore(honest, mark) {
      const sentinel = newMark();
      const { status } = await honest.call(proxyPath(name, markedPath(sentinel)));
      expect(status).toBeLessThan(500);
      await this.identityOf(sentinel);
      return (await marked(mark)).map((event) => ({
        ...identityIn(event),
        uri: event.requestURI,
        ...(event.responseStatus?.code === undefined ? {} : { code: event.responseStatus.code }),
      }));
    },
  };
}

function identityIn({ user, impersonatedUser }: AuditEvent): SeenIdentity {
  if (impersonatedUser === undefined) return { credential: user.username };
  const groups = impersonatedUser.groups?.filter((group) => group !== 'system:authenticated') ?? [];
  return { credential: user.username, user: impersonatedUser.username, groups };
}
