import type { GroupVersionKind, KubeObject } from '../kube/object-meta.ts';
import type { AnyResource, ConnectMethod, Subresource } from './resource.ts';

/** `cluster.core.oam.dev/v1alpha1`, as apiVersion has it. */
export const groupVersionOf = ({ group, version }: { group: string; version: string }) =>
  `${group}/${version}`;

/** Where the objects are: those of one namespace, where the resource has namespaces. */
export const pathOf = (resource: AnyResource) =>
  `/apis/${groupVersionOf(resource)}${resource.scope === 'Namespaced' ? '/namespaces/{namespace}' : ''}/${resource.plural}`;

const connectVerbs: Readonly<Record<ConnectMethod, string | undefined>> = {
  DELETE: 'delete',
  GET: 'get',
  PATCH: 'patch',
  POST: 'create',
  PUT: 'update',
  // They have no verb of their own: HEAD is authorized as get.
  HEAD: undefined,
  OPTIONS: undefined,
};

/** The verbs that discovery shows: those that work, as clients act on them (the garbage collector watches what it can). */
export function verbsOf(resource: AnyResource): string[] {
  const verbs = (['create', 'delete', 'get', 'list', 'update', 'watch'] as const).filter(
    (verb) => resource[verb] !== undefined,
  );
  return [
    ...verbs,
    ...(resource.get && resource.update ? ['patch'] : []),
    ...(offersDeleteCollection(resource) ? ['deletecollection'] : []),
  ].sort();
}

/** It is made of list and delete. */
export const offersDeleteCollection = (resource: AnyResource) => !!resource.list && !!resource.delete;

export function connectVerbsOf(methods: readonly ConnectMethod[]): string[] {
  return methods.flatMap((method) => connectVerbs[method] ?? []).sort();
}

/** What discovery shows of a subresource: of what kind it is, and the verbs that work. */
export function subresourceShape(
  resource: AnyResource,
  subresource: Subresource<KubeObject>,
): { readonly kind: GroupVersionKind; readonly verbs: readonly string[] } {
  if (subresource.type === 'connect')
    return { kind: subresource.kind, verbs: connectVerbsOf(subresource.methods) };
  const { group, version, kind } = resource;
  return { kind: { group, version, kind }, verbs: subresource.update ? ['get', 'patch', 'update'] : ['get'] };
}

export interface GroupVersionResources {
  readonly group: string;
  readonly version: string;
  /** By plural name. */
  readonly resources: readonly AnyResource[];
}

/** Resources by group and version, in the order in which they were first named. */
export function byGroupVersion(resources: readonly AnyResource[]): GroupVersionResources[] {
  const grouped = Map.groupBy(resources, groupVersionOf);
  return [...grouped.values()].flatMap((members) => {
    const [first] = members;
    if (!first) return [];
    const sorted = members.toSorted((left, right) => (left.plural < right.plural ? -1 : 1));
    return [{ group: first.group, version: first.version, resources: sorted }];
  });
}
