import { exactFieldValue, parseFieldSelector } from './field-selector.ts';
import { parseLabelSelector } from './label-selector.ts';
import { type QueryParameters, parseQuery, splitTarget } from './query.ts';
import { badRequest } from './status.ts';

/** What a request is about, as kube-apiserver's RequestInfoResolver computes it from method and path. */
export interface RequestInfo {
  readonly isResourceRequest: boolean;
  /** The decoded path, without query. */
  readonly path: string;
  /**
   * get, list, watch, create, update, patch, delete, deletecollection, or the lower-case method of a non-resource
   * request. Empty for a method that Kubernetes has no verb for: only a rule with `*` allows that.
   */
  readonly verb: string;
  readonly apiPrefix: string;
  readonly apiGroup: string;
  readonly apiVersion: string;
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  /** Path segments from the resource on: resource, name, subresource, rest…. Empty segments are kept. */
  readonly parts: readonly string[];
  /** Unparsed, and only where the verb honours it: list, watch, deletecollection. */
  readonly fieldSelector: string;
  readonly labelSelector: string;
}

const verbs: Readonly<Record<string, string>> = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** Verbs that once stood in the path: /api/v1/watch/pods. */
const pathVerbs = new Set(['proxy', 'watch']);
/** /namespaces/x/status is about the namespace; /namespaces/x/pods is about pods in it. */
const namespaceSubresources = new Set(['status', 'finalize']);
const verbsWithSelectors = new Set(['list', 'watch', 'deletecollection']);

/**
 * Computes what the hub computed when it authorized the same request, so that both decide about the same thing
 * (k8s.io/apiserver pkg/endpoints/request/requestinfo.go). `target` is the raw request target in origin form. Throws a
 * 400 StatusError for one that cannot be decoded.
 */
export function requestInfo(method: string, target: string): RequestInfo {
  const { rawPath, rawQuery } = splitTarget(target);
  const path = decodePath(rawPath);
  const start = parseStart(path);
  if (start.rest.length === 0)
    return { ...nothing, path, verb: method.toLowerCase(), apiPrefix: start.apiPrefix };

  let rest = start.rest;
  const pathVerb = pathVerbs.has(rest[0] ?? '') ? rest[0] : undefined;
  if (pathVerb !== undefined) {
    if (rest.length < 2) throw badRequest(`unable to determine kind and namespace from path ${path}`);
    rest = rest.slice(1);
  }
  const { namespace, parts } = splitNamespace(rest);
  const base = {
    isResourceRequest: true,
    path,
    apiPrefix: start.apiPrefix,
    apiGroup: start.apiGroup,
    apiVersion: start.apiVersion,
    namespace,
    resource: parts[0] ?? '',
    name: parts[1] ?? '',
    subresource: pathVerb === 'proxy' ? '' : (parts[2] ?? ''),
    parts,
    fieldSelector: '',
    labelSelector: '',
  };
  return withVerb(base, pathVerb ?? verbs[method] ?? '', {
    query: parseQuery(rawQuery),
    selectors: pathVerb === undefined,
  });
}

const nothing = {
  isResourceRequest: false,
  apiPrefix: '',
  apiGroup: '',
  apiVersion: '',
  namespace: '',
  resource: '',
  subresource: '',
  name: '',
  parts: [],
  fieldSelector: '',
  labelSelector: '',
} as const;

/** Once, and strictly: what Node passes through raw (control characters, 8-bit bytes) Go's parser would not or differently. */
function decodePath(rawPath: string): string {
  if (!rawPath.startsWith('/') && rawPath !== '*') throw badRequest('the request target is no absolute path');
  if (!/^[\x21-\x7e]*$/.test(rawPath)) throw badRequest('the request path has an unencoded character');
  try {
    return decodeURIComponent(rawPath);
  } catch {
    throw badRequest('the request path is not correctly percent-encoded');
  }
}

interface PathStart {
  /** Known from the third segment on, as in Go; where nothing follows it, there is no resource. */
  readonly apiPrefix: string;
  readonly apiGroup: string;
  readonly apiVersion: string;
  /** From the resource on; empty for a path that names none. */
  readonly rest: readonly string[];
}

function parseStart(path: string): PathStart {
  const segments = splitPath(path);
  const [apiPrefix = '', first = '', second = ''] = segments;
  const isApi = segments.length >= 3 && (apiPrefix === 'api' || apiPrefix === 'apis');
  if (!isApi) return { apiPrefix: '', apiGroup: '', apiVersion: '', rest: [] };
  return apiPrefix === 'api'
    ? { apiPrefix, apiGroup: '', apiVersion: first, rest: segments.slice(2) }
    : { apiPrefix, apiGroup: first, apiVersion: second, rest: segments.slice(3) };
}

/** Slashes around the path do not count, those inside it do. */
function splitPath(path: string): string[] {
  let [start, end] = [0, path.length];
  while (path[start] === '/') start++;
  while (end > start && path[end - 1] === '/') end--;
  return start === end ? [] : path.slice(start, end).split('/');
}

function splitNamespace(rest: readonly string[]): { namespace: string; parts: readonly string[] } {
  const [first, namespace, next] = rest;
  if (first !== 'namespaces' || namespace === undefined) return { namespace: '', parts: rest };
  const isOfNamespace = next === undefined || namespaceSubresources.has(next);
  return { namespace, parts: isOfNamespace ? rest : rest.slice(2) };
}

/** Without a name a get is a list or a watch, and a delete is a deletecollection. */
function withVerb(
  base: Omit<RequestInfo, 'verb'>,
  verb: string,
  { query, selectors }: { query: QueryParameters; selectors: boolean },
): RequestInfo {
  if (base.name === '' && verb === 'get') {
    const name = selectedName(query);
    const info = { ...base, name, verb: query.flag('watch') ? 'watch' : 'list' };
    return withSelectors(info, query, selectors);
  }
  const info = { ...base, verb: base.name === '' && verb === 'delete' ? 'deletecollection' : verb };
  return withSelectors(info, query, selectors);
}

function withSelectors(info: RequestInfo, query: QueryParameters, selectors: boolean): RequestInfo {
  if (!selectors || !verbsWithSelectors.has(info.verb)) return info;
  return {
    ...info,
    fieldSelector: query.first('fieldSelector') ?? '',
    labelSelector: query.first('labelSelector') ?? '',
  };
}

/** `fieldSelector=metadata.name=x` names the one object, unless anything else in the options cannot be read. */
function selectedName(query: QueryParameters): string {
  const selector = query.first('fieldSelector');
  if (selector === undefined || !readableOptions(query)) return '';
  try {
    const name = exactFieldValue(parseFieldSelector(selector), 'metadata.name') ?? '';
    return name === '.' || name === '..' || /[/%]/.test(name) ? '' : name;
  } catch {
    return '';
  }
}

function readableOptions(query: QueryParameters): boolean {
  for (const name of ['timeoutSeconds', 'limit']) {
    const value = query.first(name);
    if (value !== undefined && !isInt64(value)) return false;
  }
  try {
    parseLabelSelector(query.first('labelSelector') ?? '');
    return true;
  } catch {
    return false;
  }
}

/** Whether Go's `strconv.ParseInt(text, 10, 64)` takes it. */
export function isInt64(text: string): boolean {
  if (!/^[+-]?\d+$/.test(text) || text.length > 64) return false;
  return BigInt.asIntN(64, BigInt(text.replace('+', ''))) === BigInt(text.replace('+', ''));
}
