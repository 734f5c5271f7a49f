import type { GroupVersionKind } from '../kube/object-meta.ts';
import { META } from './openapi-meta.ts';
import type { AnyResource, ConnectSubresource } from './resource.ts';
import type { GroupVersionResources } from './resource-names.ts';
import { groupVersionOf, pathOf } from './resource-names.ts';

export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path';
  readonly type: 'string' | 'integer' | 'boolean';
  readonly description: string;
}

/** One operation of the API, in neither version of OpenAPI: both documents are written from it. */
export interface Operation {
  readonly path: string;
  readonly method: string;
  readonly id: string;
  readonly description: string;
  readonly action?: string;
  readonly kind?: GroupVersionKind;
  readonly parameters: readonly Parameter[];
  /** Name of the answer's schema; undefined for a stream of anything. */
  readonly answer: string | undefined;
  readonly mediaTypes: readonly string[];
}

/** `dev.oam.core.cluster.v1alpha1.ClusterGateway`, as the definitions of custom resources are named. */
export const definitionName = ({ group, version, kind }: GroupVersionKind) =>
  [...group.split('.').reverse(), version, kind].join('.');

/** `ClusterCoreOamDevV1alpha1`: what makes an operation's id unique in a hub's merged document. */
export const idInfix = ({ group, version }: { group: string; version: string }) =>
  [...group.split(/[.-]/), version].map(capitalize).join('');

const capitalize = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);

const query = (name: string, type: Parameter['type'], description: string): Parameter => ({
  name,
  in: 'query',
  type,
  description,
});

const nameParameter: Parameter = {
  name: 'name',
  in: 'path',
  type: 'string',
  description: 'The name of the object.',
};
const pretty = query('pretty', 'string', 'Any true value indents the output.');

const listParameters: readonly Parameter[] = [
  query('continue', 'string', 'Where the next part of a list begins.'),
  query('fieldSelector', 'string', 'Only objects with these fields: metadata.name and metadata.namespace.'),
  query('labelSelector', 'string', 'Only objects with these labels.'),
  query('limit', 'integer', 'How many objects to answer with at most; the server may answer with more.'),
  pretty,
  query('resourceVersion', 'string', 'The version to list or to watch from.'),
  query('resourceVersionMatch', 'string', 'How the resource version is meant: Exact or NotOlderThan.'),
  query('timeoutSeconds', 'integer', 'How long a watch lasts at most.'),
];

const watchParameters: readonly Parameter[] = [
  query('allowWatchBookmarks', 'boolean', 'Whether a watch may have events of the type BOOKMARK.'),
  query(
    'sendInitialEvents',
    'boolean',
    'Whether a watch begins with all objects, and a bookmark at their end.',
  ),
  query('watch', 'boolean', 'Watch for changes instead of listing.'),
];

const objectTypes = ['application/json', 'application/yaml'];

/** What can be asked of the resources of one group and version. */
export function operationsOf(groupVersion: GroupVersionResources): Operation[] {
  return [
    {
      path: `/apis/${groupVersionOf(groupVersion)}/`,
      method: 'get',
      id: `get${idInfix(groupVersion)}APIResources`,
      description: 'get available resources',
      parameters: [],
      answer: `${META}.APIResourceList`,
      mediaTypes: ['application/json'],
    },
    ...groupVersion.resources.flatMap((resource) => [
      ...resourceOperations(resource),
      ...(resource.subresources ?? []).flatMap((subresource) =>
        subresource.type === 'connect' ? connectOperations(resource, subresource) : [],
      ),
    ]),
  ];
}

function resourceOperations(resource: AnyResource): Operation[] {
  const { kind } = resource;
  const infix = idInfix(resource);
  const common = { method: 'get', kind: kindOf(resource) };
  const operations: Operation[] = [];
  if (resource.list) {
    operations.push({
      ...common,
      path: pathOf(resource),
      id: `list${infix}${kind}`,
      description: `list${resource.watch ? ' or watch' : ''} objects of kind ${kind}`,
      action: 'list',
      parameters: resource.watch ? [...listParameters, ...watchParameters] : listParameters,
      answer: `${definitionName(resource)}List`,
      mediaTypes: resource.watch ? [...objectTypes, 'application/json;stream=watch'] : objectTypes,
    });
  }
  if (resource.get) {
    operations.push({
      ...common,
      path: `${pathOf(resource)}/{name}`,
      id: `read${infix}${kind}`,
      description: `read the specified ${kind}`,
      action: 'get',
      parameters: [nameParameter, pretty],
      answer: definitionName(resource),
      mediaTypes: objectTypes,
    });
  }
  return operations;
}

export const kindOf = ({ group, version, kind }: GroupVersionKind): GroupVersionKind => ({
  group,
  version,
  kind,
});

function connectOperations(resource: AnyResource, subresource: ConnectSubresource): Operation[] {
  const base = `${pathOf(resource)}/{name}/${subresource.name}`;
  const pathParameter: Parameter = {
    name: 'path',
    in: 'path',
    type: 'string',
    description: 'The rest of the path.',
  };
  const places = [
    { path: base, suffix: '', parameters: [nameParameter] },
    ...(subresource.hasPath
      ? [{ path: `${base}/{path}`, suffix: 'WithPath', parameters: [nameParameter, pathParameter] }]
      : []),
  ];
  return places.flatMap(({ path, suffix, parameters }) =>
    subresource.methods.map((method): Operation => {
      const verb = capitalize(method.toLowerCase());
      return {
        path,
        method: method.toLowerCase(),
        id: `connect${idInfix(resource)}${verb}${resource.kind}${capitalize(subresource.name)}${suffix}`,
        description: subresource.description,
        action: 'connect',
        kind: kindOf(subresource.kind),
        parameters,
        answer: undefined,
        mediaTypes: ['*/*'],
      };
    }),
  );
}
