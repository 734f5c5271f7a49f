import type { FieldSelector } from '../kube/field-selector.ts';
import { matchesFields, parseFieldSelector } from '../kube/field-selector.ts';
import type { LabelSelector } from '../kube/label-selector.ts';
import { matchesLabels, parseLabelSelector } from '../kube/label-selector.ts';
import type { KubeObject } from '../kube/object-meta.ts';
import type { QueryParameters } from '../kube/query.ts';
import { isInt64 } from '../kube/request-info.ts';
import type { ContinueToken } from './list-page.ts';
import { decodeContinue } from './list-page.ts';
import { checkResourceVersion } from '../kube/resource-version.ts';
import type { FieldCause } from '../kube/status.ts';
import { badRequest, fieldForbidden, fieldNotSupported, invalid } from '../kube/status.ts';

/** metav1.ListOptions, read and checked. */
export interface ListOptions {
  readonly watch: boolean;
  /** Of the path: only objects in it; empty for all, and for objects of the cluster. */
  readonly namespace: string;
  readonly labelSelector: LabelSelector;
  readonly fieldSelector: FieldSelector;
  /** Empty for the newest state; `0` for any. */
  readonly resourceVersion: string;
  readonly resourceVersionMatch: '' | 'Exact' | 'NotOlderThan';
  /** Undefined for a list that begins. */
  readonly continued: ContinueToken | undefined;
  /** Objects of one page; undefined, 0 and less for all. */
  readonly limit: number | undefined;
  readonly allowWatchBookmarks: boolean;
  readonly sendInitialEvents: boolean | undefined;
  readonly timeoutSeconds: number | undefined;
}

const selectableFields = ['metadata.name', 'metadata.namespace'];

/** Throws a 400 StatusError for what cannot be read, and 422 for what does not go together. */
export function parseListOptions(query: QueryParameters, namespace = ''): ListOptions {
  const watch = query.flag('watch');
  const causes = watch ? watchCauses(query) : listCauses(query);
  const options = {
    watch,
    namespace,
    labelSelector: parseLabelSelector(query.first('labelSelector') ?? ''),
    fieldSelector: parseFieldSelector(query.first('fieldSelector') ?? ''),
    resourceVersion: query.first('resourceVersion') ?? '',
    resourceVersionMatch: matchOf(query) as ListOptions['resourceVersionMatch'],
    limit: integer(query, 'limit'),
    allowWatchBookmarks: query.flag('allowWatchBookmarks'),
    sendInitialEvents: query.has('sendInitialEvents') ? query.flag('sendInitialEvents') : undefined,
    timeoutSeconds: integer(query, 'timeoutSeconds'),
  };
  if (causes.length > 0) throw invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', causes);
  const token = watch ? '' : (query.first('continue') ?? '');
  if (token !== '' && !['', '0'].includes(options.resourceVersion))
    throw badRequest('specifying resource version is not allowed when using continue');
  checkFields(options.fieldSelector);
  if (options.resourceVersion !== '') checkResourceVersion(options.resourceVersion);
  return { ...options, continued: token === '' ? undefined : decodeContinue(token) };
}

export function isSelected(object: KubeObject, options: ListOptions): boolean {
  const { name, namespace, labels } = object.metadata;
  if (options.namespace !== '' && namespace !== options.namespace) return false;
  const fields = { 'metadata.name': name, 'metadata.namespace': namespace ?? '' };
  return matchesFields(options.fieldSelector, fields) && matchesLabels(options.labelSelector, labels);
}

const matchOf = (query: QueryParameters) => query.first('resourceVersionMatch') ?? '';

/** The rules of k8s.io/apimachinery internalversion/validation. */
function listCauses(query: QueryParameters): FieldCause[] {
  const match = matchOf(query);
  const version = query.first('resourceVersion') ?? '';
  const causes: FieldCause[] = [];
  const forbid = (detail: string) => causes.push(fieldForbidden('resourceVersionMatch', detail));
  if (match !== '') {
    if (version === '') forbid('resourceVersionMatch is forbidden unless resourceVersion is provided');
    if (query.first('continue')) forbid('resourceVersionMatch is forbidden when continue is provided');
    if (match !== 'Exact' && match !== 'NotOlderThan')
      causes.push(fieldNotSupported('resourceVersionMatch', match, ['Exact', 'NotOlderThan', '']));
    if (match === 'Exact' && version === '0')
      forbid('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  }
  if (query.has('sendInitialEvents'))
    causes.push(fieldForbidden('sendInitialEvents', 'sendInitialEvents is forbidden for list'));
  return causes;
}

function watchCauses(query: QueryParameters): FieldCause[] {
  const match = matchOf(query);
  const causes: FieldCause[] = [];
  const forbid = (detail: string) => causes.push(fieldForbidden('resourceVersionMatch', detail));
  if (query.has('sendInitialEvents') && match !== 'NotOlderThan')
    forbid('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  if (match !== '') {
    if (!query.has('sendInitialEvents'))
      forbid('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided');
    if (match !== 'NotOlderThan')
      causes.push(fieldNotSupported('resourceVersionMatch', match, ['NotOlderThan']));
    if (query.first('continue')) forbid('resourceVersionMatch is forbidden when continue is provided');
  }
  return causes;
}

function checkFields(selector: FieldSelector): void {
  for (const { field } of selector) {
    if (!selectableFields.includes(field)) {
      const known = selectableFields.map((each) => `"${each}"`).join(', ');
      throw badRequest(`"${field}" is not a known field selector: only ${known}`);
    }
  }
}

function integer(query: QueryParameters, name: string): number | undefined {
  const text = query.first(name);
  if (text === undefined) return undefined;
  if (!isInt64(text)) throw badRequest(`${name}: ${JSON.stringify(text)} is not an integer`);
  return Number(text);
}
