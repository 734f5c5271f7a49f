import { splitTarget } from '../kube/query.ts';
import type { RequestInfo } from '../kube/request-info.ts';
import { badRequest } from '../kube/status.ts';

/** Where a proxied request goes: the cluster, and the request target below its endpoint, byte for byte as it came. */
export interface ProxyTarget {
  readonly cluster: string;
  /** Starts with `/`; without the query. */
  readonly path: string;
  /** Empty, or with its `?`. */
  readonly query: string;
}

/** Names of clusters are Secrets' names (RFC 1123 subdomain): none of their characters is ever percent-encoded. */
const clusterName = /^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/;

/**
 * Cuts `<prefix>/<name>/proxy` off a raw request target. The prefix is matched byte by byte: what the hub authorized
 * on the decoded path (`info`) and what is cut here must be the same, or the request is refused. Nothing in the rest
 * is decoded, joined or cleaned; what a target might read as another path than ours is refused (contract 0.1, 7).
 */
export function parseProxyTarget(target: string, prefix: string, info: RequestInfo): ProxyTarget {
  const { rawPath } = splitTarget(target);
  const query = target.slice(rawPath.length);
  const start = `${prefix}/`;
  const nameEnd = rawPath.indexOf('/', start.length);
  const cluster = rawPath.slice(start.length, nameEnd);
  const afterName = rawPath.slice(nameEnd);
  const isProxy = afterName === '/proxy' || afterName.startsWith('/proxy/');
  if (
    !rawPath.startsWith(start) ||
    nameEnd < 0 ||
    !isProxy ||
    cluster !== info.name ||
    !clusterName.test(cluster)
  ) {
    throw badRequest(`the path must be ${prefix}/<name>/proxy, without encoded characters`);
  }
  const path = afterName.slice('/proxy'.length) || '/';
  refuseAmbiguousPath(path);
  return { cluster, path, query };
}

/**
 * Dot segments, raw or encoded at any place where a server might look for them, and empty segments: servers disagree
 * on what they mean, so one of them would run something else than was authorized.
 */
function refuseAmbiguousPath(path: string): void {
  if (path.includes('//')) throw badRequest('the proxied path must not have empty segments');
  if (!path.includes('.') && !/%2e|%00|%5c|\\/i.test(path)) return;
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    throw badRequest('the proxied path is not correctly percent-encoded');
  }
  if (decoded.includes('\0')) throw badRequest('the proxied path must not have a NUL');
  if (decoded.split(/[/\\]/).some((segment) => segment === '.' || segment === '..')) {
    throw badRequest('the proxied path must not have dot segments');
  }
}
