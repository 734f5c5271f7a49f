/** What differs between two runs of one command although both do the same. */
export interface SideFacts {
  /** Where kubectl's `--server` leads. */
  readonly server: string;
  /** The cluster's own address, which it may name in an answer. */
  readonly clusterUrl: string;
  readonly namespace: string;
}

/**
 * The whole list of what the comparison of a direct and a proxied command overlooks: nothing else is changed before
 * the outputs must be equal.
 */
const overlooked: readonly { readonly what: string; readonly pattern: RegExp; readonly by: string }[] = [
  {
    what: 'UIDs',
    pattern: /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g,
    by: 'UID',
  },
  {
    what: 'resource versions',
    pattern: /(resource ?version[\\"]*[:=]\s*[\\"]*)[1-9]\d*/gi,
    by: '$1RV',
  },
  { what: 'places in long lists', pattern: /(continue[\\"]*[:=]\s*[\\"]*)[\w%+/=-]{20,}/g, by: '$1PLACE' },
  { what: "a watch's time, which client-go picks at random", pattern: /(timeoutSeconds=)\d{3}/g, by: '$1N' },
  { what: 'timestamps', pattern: /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, by: 'TIME' },
  {
    what: 'timestamps of describe',
    pattern: /\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}/g,
    by: 'TIME',
  },
  { what: 'timestamps of diff', pattern: /\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}/g, by: 'TIME' },
  { what: 'ages', pattern: /(?<=\s|^|\()\d+(?:ms|s|m\d+s|m)(?=\s|$|\)| ago)/gm, by: 'AGE' },
  { what: 'tokens', pattern: /\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, by: 'TOKEN' },
  { what: 'addresses of pods and Services', pattern: /\b10\.\d+\.\d+\.\d+\b/g, by: 'IP' },
  { what: 'container and exec ids', pattern: /(?:\bcontainerd:\/\/)?\b[0-9a-f]{64}\b/g, by: 'CONTAINER' },
  {
    what: 'generated names of pods',
    pattern: /(\bweb-[0-9a-z]{8,10})-[bcdfghjklmnpqrstvwxz2456789]{5}\b/g,
    by: '$1-POD',
  },
  { what: 'temporary files', pattern: /(\/tmp\/(?:LIVE|MERGED|kubectl-edit)-)\d+/g, by: '$1N' },
  // Last: ages and names of other lengths move the columns of a table.
  { what: 'widths of columns', pattern: / {2,}/g, by: '  ' },
  { what: 'ends of lines', pattern: / +$/gm, by: '' },
];

/** A text of kubectl or of the audit log, without what may differ. */
export function normalise(text: string, { server, clusterUrl, namespace }: SideFacts): string {
  const own = text
    .replaceAll(server, 'SERVER')
    .replaceAll(new URL(clusterUrl).host, 'CLUSTER')
    .replaceAll(namespace, 'NAMESPACE');
  return overlooked.reduce((result, { pattern, by }) => result.replaceAll(pattern, by), own);
}

/**
 * A request's path with its query, decoded, in one order: the hub sorts the parameters (Go's `url.Values.Encode`), and
 * kubectl gives the terms of a field selector in any order (Go's maps).
 */
export function normaliseUri(uri: string, facts: SideFacts): string {
  const { pathname, searchParams } = new URL(uri, 'https://cluster');
  const query = [...searchParams]
    .map(
      ([key, value]) => `${key}=${key === 'fieldSelector' ? value.split(',').toSorted().join(',') : value}`,
    )
    .toSorted()
    .join('&');
  return normalise(query === '' ? pathname : `${pathname}?${query}`, facts);
}

/**
 * Whether a request is one by which kubectl's HTTP cache asks whether an OpenAPI document is still what it has. How often
 * it asks is not compared: the hub puts its own Cache-Control (no-cache) beside the cluster's (immutable).
 */
export function isRevalidation(requestURI: string, code: number | undefined): boolean {
  return code === 304 && requestURI.startsWith('/openapi/v3/');
}

/** The index of these documents changes with every CRD, in the cluster's own time: 200 and 304 are one. */
export function normaliseCode(requestURI: string, code: number | undefined): string {
  return requestURI.startsWith('/openapi/v3?') && code === 304 ? '200' : String(code);
}
