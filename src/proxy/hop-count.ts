import { allHeaders } from '../base/header-lines.ts';
import type { HeaderLines } from '../base/header-lines.ts';
import { StatusError, badRequest } from '../kube/status.ts';

/** Through how many gateways a request has come, in lower case. Each one reads it, drops it and writes its own. */
export const HOPS_HEADER = 'x-cluster-gateway-hops';

/** A cluster may be the hub itself, and lead to a cluster there: that is two. More than this is a circle. */
export const maxHops = 5;

/**
 * The number that goes on with a request. It is read from the lines as they came, so that a caller who nominates it in
 * Connection changes nothing; a caller who lies about it shortens its own way only, for it never gets less. Throws 508
 * (RFC 5842) where the way is too long, 400 for what is no number.
 */
export function nextHop(lines: HeaderLines, cluster: string): string {
  let hops = 0;
  for (const line of allHeaders(lines, HOPS_HEADER)) {
    for (const value of line.split(',')) {
      if (!/^\d+$/.test(value.trim())) throw badRequest(`${HOPS_HEADER} must be a number`);
      hops = Math.max(hops, Number(value));
    }
  }
  if (hops < maxHops) return String(hops + 1);
  throw new StatusError(
    'InternalError',
    `the request has passed through cluster gateways ${maxHops} times: the endpoint of cluster ${JSON.stringify(cluster)}, or of one before it, leads back to the gateway`,
    { code: 508 },
  );
}
