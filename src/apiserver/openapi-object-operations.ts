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
import { PATCH_TYPES } from './resource-body.ts';
import { offersDeleteCollection, pathOf } from './resource-names.ts';
import type { AnyResource } from './resource.ts';

const dryRun = query('dryRun', 'string', 'All: check and answer as ever, and keep nothing.');

/** kubectl asks for --dry-run=server and --validate=strict only where PATCH names these. */
const writeParameters: readonly Parameter[] = [
  dryRun,
  query('fieldManager', 'string', 'Who manages the fields that are written; 128 bytes at most.'),
  query(
    'fieldValidation',
    'string',
    'What is done about fields that are unknown or stand twice: Ignore, Warn (the default) or Strict.',
  ),
];

const force = query('force', 'boolean', 'Only for server-side apply, which is not offered here.');

const deleteParameters: readonly Parameter[] = [
  dryRun,
  query('gracePeriodSeconds', 'integer', 'Seconds that the object may take to end.'),
  query('orphanDependents', 'boolean', 'Use propagationPolicy instead.'),
  query('propagationPolicy', 'string', 'What becomes of dependents: Orphan, Background or Foreground.'),
];

/** POST of a new object; GET, PUT, PATCH and DELETE of one. */
export function objectOperations(resource: AnyResource): Operation[] {
  const { infix, parameters } = namespaceOf(resource);
  const common = commonOf({ resource, source: resource, subresource: '' });
  const create: Operation = {
    ...common('post', 'create', 'create'),
    path: pathOf(resource),
    description: `create an object of kind ${resource.kind}`,
    parameters: [...parameters, pretty, ...writeParameters],
    codes: ['200', '201', '202'],
    body: bodyOf(resource),
  };
  const remove: Operation = {
    ...common('delete', 'delete', 'delete'),
    description: `delete an object of kind ${resource.kind}`,
    parameters: [...parameters, nameParameter, pretty, ...deleteParameters],
    answer: `${META}.Status`,
    codes: ['200', '202'],
    body: { schema: `${META}.DeleteOptions`, mediaTypes: objectTypes, required: false },
  };
  const removeAll: Operation = {
    ...remove,
    ...{ path: pathOf(resource), action: 'deletecollection' },
    id: `delete${idInfix(resource)}Collection${infix}${resource.kind}`,
    description: `delete the objects of kind ${resource.kind} that are selected`,
    parameters: [...parameters, ...selectionParameters, pretty, ...deleteParameters],
    answer: `${definitionName(resource)}List`,
    codes: ['200'],
  };
  return [
    ...(resource.create ? [create] : []),
    ...partOperations({ resource, source: resource, subresource: '' }),
    ...(resource.delete ? [remove] : []),
    ...(offersDeleteCollection(resource) ? [removeAll] : []),
  ];
}

/** A whole object, or a part of it that is read and written apart. */
export interface ObjectPart {
  readonly resource: AnyResource;
  readonly source: Pick<AnyResource, 'get' | 'update'>;
  /** Empty for the whole. */
  readonly subresource: string;
}

/** GET, PUT and PATCH. */
export function partOperations(part: ObjectPart): Operation[] {
  const { resource, source, subresource } = part;
  const { kind } = resource;
  const common = commonOf(part);
  const what = subresource === '' ? `the specified ${kind}` : `${subresource} of the specified ${kind}`;
  const parameters = [...namespaceOf(resource).parameters, nameParameter, pretty];
  const read: Operation = { ...common('get', 'get', 'read'), description: `read ${what}`, parameters };
  const replace: Operation = {
    ...common('put', 'put', 'replace'),
    description: `replace ${what}`,
    parameters: [...parameters, ...writeParameters],
    codes: ['200', '201'],
    body: bodyOf(resource),
  };
  const patch: Operation = {
    ...common('patch', 'patch', 'patch'),
    description: `change a part of ${what}`,
    parameters: [...parameters, ...writeParameters, force],
    body: { schema: `${META}.Patch`, mediaTypes: PATCH_TYPES, required: true },
  };
  return [
    ...(source.get ? [read] : []),
    ...(source.update ? [replace] : []),
    ...(source.get && source.update ? [patch] : []),
  ];
}

/** What the operations on one object have alike. */
function commonOf({ resource, subresource }: ObjectPart) {
  const path = `${pathOf(resource)}/{name}${subresource === '' ? '' : `/${subresource}`}`;
  return (method: string, action: string, idVerb: string) => ({
    path,
    method,
    action,
    id: `${idVerb}${idInfix(resource)}${namespaceOf(resource).infix}${resource.kind}${capitalize(subresource)}`,
    kind: kindOf(resource),
    answer: definitionName(resource),
    mediaTypes: objectTypes,
  });
}

const bodyOf = (resource: AnyResource): NonNullable<Operation['body']> => ({
  schema: definitionName(resource),
  mediaTypes: objectTypes,
  required: true,
});
