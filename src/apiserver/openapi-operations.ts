import { META } from './openapi-meta.ts';
import type { Operation, Parameter } from './openapi-operation.ts';
import {
  capitalize,
  definitionName,
  idInfix,
  kindOf,
  nameParameter,
  namespaceOf,
  objectTypes,
  pretty,
  query,
  selectionParameters,
} from './openapi-operation.ts';
import { objectOperations, partOperations } from './openapi-object-operations.ts';
import type { AnyResource, ConnectSubresource } from './resource.ts';
import type { GroupVersionResources } from './resource-names.ts';
import { groupVersionOf, pathOf } from './resource-names.ts';

const listParameters: readonly Parameter[] = [
  ...selectionParameters,
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
      ...listOperations(resource),
      ...objectOperations(resource),
      ...(resource.subresources ?? []).flatMap((subresource) =>
        subresource.type === 'connect'
          ? connectOperations(resource, subresource)
          : partOperations({ resource, source: subresource, subresource: subresource.name }),
      ),
    ]),
  ];
}

function listOperations(resource: AnyResource): Operation[] {
  if (!resource.list) return [];
  const { infix, parameters } = namespaceOf(resource);
  const list = {
    method: 'get',
    kind: kindOf(resource),
    description: `list${resource.watch ? ' or watch' : ''} objects of kind ${resource.kind}`,
    action: 'list',
    answer: `${definitionName(resource)}List`,
    mediaTypes: resource.watch ? [...objectTypes, 'application/json;stream=watch'] : objectTypes,
  };
  const options = resource.watch ? [...listParameters, ...watchParameters] : listParameters;
  const id = `list${idInfix(resource)}`;
  const inside: Operation = {
    ...{ ...list, path: pathOf(resource), id: `${id}${infix}${resource.kind}` },
    parameters: [...parameters, ...options],
  };
  if (resource.scope === 'Cluster') return [inside];
  const path = `/apis/${groupVersionOf(resource)}/${resource.plural}`;
  return [inside, { ...list, path, id: `${id}${resource.kind}ForAllNamespaces`, parameters: options }];
}

function connectOperations(resource: AnyResource, subresource: ConnectSubresource): Operation[] {
  const base = `${pathOf(resource)}/{name}/${subresource.name}`;
  const inside = namespaceOf(resource).parameters;
  const pathParameter: Parameter = {
    name: 'path',
    in: 'path',
    type: 'string',
    description: 'The rest of the path.',
  };
  const places = [
    { path: base, suffix: '', parameters: [...inside, nameParameter] },
    ...(subresource.hasPath
      ? [
          {
            path: `${base}/{path}`,
            suffix: 'WithPath',
            parameters: [...inside, nameParameter, pathParameter],
          },
        ]
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
