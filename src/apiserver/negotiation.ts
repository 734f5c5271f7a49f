import { notAcceptable } from '../kube/status.ts';

/** One member of an Accept header. Types and parameter names are lower case. */
export interface AcceptClause {
  readonly type: string;
  readonly subtype: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Clauses by preference; those with q=0 are none. Members that are no media type are left out. */
export function parseAccept(header: string): AcceptClause[] {
  return header
    .split(',', 100)
    .flatMap((text) => parseClause(text) ?? [])
    .filter(({ quality }) => quality > 0)
    .sort((left, right) => right.quality - left.quality || specificity(right) - specificity(left));
}

const specificity = ({ type, subtype }: AcceptClause) => (type === '*' ? 0 : subtype === '*' ? 1 : 2);

function parseClause(text: string): (AcceptClause & { quality: number }) | undefined {
  const [media = '', ...rest] = text.split(';', 20);
  const [type = '', subtype = '', excess] = media.trim().toLowerCase().split('/');
  if (type === '' || subtype === '' || excess !== undefined) return undefined;
  const parameters: Record<string, string> = {};
  for (const parameter of rest) {
    const equals = parameter.indexOf('=');
    if (equals < 0) continue;
    parameters[parameter.slice(0, equals).trim().toLowerCase()] = unquote(parameter.slice(equals + 1).trim());
  }
  const quality = parameters['q'] === undefined ? 1 : Number(parameters['q']);
  return { type, subtype, parameters, quality: Number.isNaN(quality) ? 0 : quality };
}

const unquote = (text: string) => (/^".*"$/.test(text) ? text.slice(1, -1) : text);

export function clauseAccepts({ type, subtype }: AcceptClause, mediaType: string): boolean {
  if (type === '*') return subtype === '*';
  const [ownType, ownSubtype] = mediaType.split('/');
  return type === ownType && (subtype === '*' || subtype === ownSubtype);
}

/** Whether one of the Accept header's members takes the type; an absent or empty header takes all. */
export function accepts(header: string | undefined, mediaType: string): boolean {
  if (!header) return true;
  return parseAccept(header).some((clause) => clauseAccepts(clause, mediaType));
}

export type TransformKind = 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList';

/** What a caller wants instead of the object itself. */
export interface Transform {
  readonly kind: TransformKind;
  readonly version: 'v1' | 'v1beta1';
}

export interface Representation {
  readonly format: 'json' | 'yaml';
  readonly transform: Transform | undefined;
}

const formats = [
  { mediaType: 'application/json', format: 'json' },
  { mediaType: 'application/yaml', format: 'yaml' },
] as const;

const mediaTypes: readonly string[] = formats.map(({ mediaType }) => mediaType);
export const JSON_ONLY: readonly string[] = ['application/json'];

/**
 * Finds what to answer with, as kube-apiserver does (endpoints/handlers/negotiation): the first clause that both
 * sides understand. kubectl's lists of alternatives and `protobuf, application/json` come out as JSON. Throws a 406
 * StatusError.
 */
export function negotiate(header: string | undefined, options: { stream: boolean }): Representation {
  if (!header) return { format: 'json', transform: undefined };
  for (const clause of parseAccept(header)) {
    const transform = transformOf(clause);
    if (transform === 'unknown') continue;
    const found = formats.find(({ mediaType }) => clauseAccepts(clause, mediaType));
    if (!found) continue;
    // A stream of YAML documents has no framing in Kubernetes.
    if (options.stream && found.format !== 'json') break;
    return { format: found.format, transform };
  }
  throw notAcceptable(options.stream ? JSON_ONLY : mediaTypes);
}

const transformKinds = new Set<string>(['Table', 'PartialObjectMetadata', 'PartialObjectMetadataList']);

function transformOf({ parameters }: AcceptClause): Transform | undefined | 'unknown' {
  const { as: kind, g: group, v: version } = parameters;
  if (kind === undefined && group === undefined && version === undefined) return undefined;
  if (group !== 'meta.k8s.io' || kind === undefined || !transformKinds.has(kind)) return 'unknown';
  if (version !== 'v1' && version !== 'v1beta1') return 'unknown';
  return { kind: kind as TransformKind, version };
}

export type DiscoveryVersion = 'v2' | 'v2beta1';

/** Which aggregated discovery document is wanted; undefined is the plain list. Throws a 406 StatusError. */
export function negotiateDiscovery(header: string | undefined): DiscoveryVersion | undefined {
  if (!header) return undefined;
  for (const clause of parseAccept(header)) {
    if (!clauseAccepts(clause, 'application/json')) continue;
    const { as: kind, g: group, v: version } = clause.parameters;
    if (kind === undefined && group === undefined && version === undefined) return undefined;
    if (kind !== 'APIGroupDiscoveryList' || group !== 'apidiscovery.k8s.io') continue;
    if (version === 'v2' || version === 'v2beta1') return version;
  }
  throw notAcceptable(JSON_ONLY);
}

/** Indented for people: asked for, or asked by a tool that people use by hand. */
export function isPretty(parameter: string | undefined, userAgent: string | undefined): boolean {
  if (parameter) return /^(?:1|t|T|TRUE|true|True)$/.test(parameter);
  return /^(?:curl|Wget|Mozilla\/5\.0)/.test(userAgent ?? '');
}
