import { parseQuery } from '../kube/query.ts';
import type { QueryParameters } from '../kube/query.ts';
import { requestInfo } from '../kube/request-info.ts';
import type { RequestInfo } from '../kube/request-info.ts';
import { badRequest } from '../kube/status.ts';
import type { ProxyTarget } from './target.ts';

/** What the verb and the name are read from, and what the review is told of. */
const readParameters = ['watch', 'fieldSelector', 'labelSelector'];

/**
 * What a request is about for the cluster that it is carried to, as that one's kube-apiserver computes it. Whatever
 * servers read in more than one way is a 400 StatusError: what is authorized must be what is run (CVE-2022-2880).
 */
export function innerRequestInfo(
  method: string,
  { path, query }: Pick<ProxyTarget, 'path' | 'query'>,
): RequestInfo {
  refuseUnclearQuery(query);
  const info = requestInfo(method, path + query);
  refuseEncodedSeparators(path, info);
  // Java's servers cut what follows the semicolon, and find a dot segment.
  if (info.path.includes(';') && dotsBeforeSemicolon.test(info.path))
    throw badRequest('the proxied path must not have dot segments');
  return info;
}

function refuseUnclearQuery(query: string): void {
  if (query === '') return;
  if (/[^\x21-\x7e]/.test(query)) throw badRequest('the proxied query has an unencoded character');
  const parameters = parseQuery(query.slice(1));
  // Go drops such pairs and goes on, in more or fewer cases from version to version (golang/go 54663).
  if (parameters.malformed)
    throw badRequest('the proxied query has a bad escape, a semicolon, or too many parameters');
  for (const name of readParameters) refuseUnclearParameter(name, parameters);
}

/** The first one counts for kube-apiserver, the last one or all for others; bytes that are no UTF-8 cannot be told of. */
function refuseUnclearParameter(name: string, parameters: QueryParameters): void {
  const [first, ...more] = parameters.all(name);
  if (more.some((value) => value !== first))
    throw badRequest(`the proxied query has ${name} more than once, with different values`);
  if (first?.includes('\uFFFD')) throw badRequest(`the proxied query's ${name} is not UTF-8`);
}

/**
 * Encoded slashes: kube-apiserver takes them for slashes, servers in front of it may not, and an encoded percent sign
 * is one of these for whoever decodes twice. No name in Kubernetes has either. Behind the subresource the path is
 * somebody else's, and nothing is read from it.
 */
function refuseEncodedSeparators(path: string, { path: decoded, parts }: RequestInfo): void {
  if (!encodedSeparator.test(path)) return;
  const unread = Math.max(0, parts.length - 3);
  const read = path.split('/').slice(0, segmentCount(decoded) - unread + 1);
  if (read.some((segment) => encodedSeparator.test(segment)))
    throw badRequest('the proxied path must not have encoded slashes or percent signs');
}

const dotsBeforeSemicolon = /(?:^|[/\\])\.{1,2};/;

const encodedSeparator = /%(?:2f|25|5c)/i;

const segmentCount = (path: string) => path.replace(/^\/+|\/+$/g, '').split('/').length;
