import type { JsonSchema } from './resource.ts';

/** The names that Kubernetes gives these types in its own documents, so that an aggregator finds the same type twice. */
export const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const RAW_EXTENSION = 'io.k8s.apimachinery.pkg.runtime.RawExtension';

/** Schemas of one document by name. */
export type Schemas = Readonly<Record<string, JsonSchema>>;

export const reference = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });

/** What stands beside a `$ref` is ignored in OpenAPI v3.0: hence the allOf, as in Kubernetes' documents. */
export const described = (name: string, description: string, rest: object = {}): JsonSchema => ({
  allOf: [reference(name)],
  ...(description === '' ? {} : { description }),
  ...rest,
});

const string = (description: string): JsonSchema => ({ type: 'string', description });
/** A field that is always there. */
const text = (description: string): JsonSchema => ({ default: '', type: 'string', description });
const integer = (format: 'int32' | 'int64', description: string): JsonSchema => ({
  type: 'integer',
  format,
  description,
});
const boolean = (description: string): JsonSchema => ({ type: 'boolean', description });
const list = (items: JsonSchema, description: string, kind: object): JsonSchema => ({
  type: 'array',
  items,
  description,
  ...kind,
});
const atomic = { 'x-kubernetes-list-type': 'atomic' };
const mapOfStrings = (description: string): JsonSchema => ({
  type: 'object',
  additionalProperties: { default: '', type: 'string' },
  description,
});

export const typeMetaProperties = {
  apiVersion: string('Group and version of this kind, as in apps/v1: how to read the rest of the object.'),
  kind: string('The kind of this object, in CamelCase.'),
} as const;

const kindOf = (kind: string) => ({
  'x-kubernetes-group-version-kind': [{ group: '', kind, version: 'v1' }],
});

const objectMeta: JsonSchema = {
  type: 'object',
  description: 'What all objects have: names, labels, and what the server knows about them.',
  properties: {
    annotations: mapOfStrings('Free text by key, for programs and people. It cannot be selected on.'),
    creationTimestamp: described(`${META}.Time`, 'When the server made the object. It cannot be set.'),
    deletionGracePeriodSeconds: integer(
      'int64',
      'Seconds that the object may take to end once it is deleted.',
    ),
    deletionTimestamp: described(
      `${META}.Time`,
      'When the object will be gone, once its deletion was asked for.',
    ),
    finalizers: list({ default: '', type: 'string' }, 'Who must agree before the object goes.', {
      'x-kubernetes-list-type': 'set',
      'x-kubernetes-patch-strategy': 'merge',
    }),
    generateName: string('A prefix from which the server makes a unique name.'),
    generation: integer('int64', 'Counts the changes of what is wanted of the object.'),
    labels: mapOfStrings('Keys and values that objects are selected by.'),
    managedFields: list(
      { ...described(`${META}.ManagedFieldsEntry`, ''), default: {} },
      'Who set which fields, for server-side apply.',
      atomic,
    ),
    name: string('The name, unique among objects of the same resource in the same namespace.'),
    namespace: string('The namespace; empty for objects of the whole cluster.'),
    ownerReferences: list(
      { ...described(`${META}.OwnerReference`, ''), default: {} },
      'Objects that this one depends on: when all are gone, it goes, too.',
      {
        'x-kubernetes-list-map-keys': ['uid'],
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-patch-merge-key': 'uid',
        'x-kubernetes-patch-strategy': 'merge',
      },
    ),
    resourceVersion: string('The version of the object, for comparison and to watch from.'),
    selfLink: string('No longer used.'),
    uid: string('Tells this object from others that had or will have its name.'),
  },
};

const status: JsonSchema = {
  type: 'object',
  description: 'The outcome of a request that did not give an object.',
  properties: {
    ...typeMetaProperties,
    code: integer('int32', 'The HTTP status code.'),
    details: described(`${META}.StatusDetails`, 'More about the reason.', atomic),
    message: string('What happened, for people.'),
    metadata: described(`${META}.ListMeta`, 'Not used.', { default: {} }),
    reason: string('Why, in one word for programs.'),
    status: string('Success or Failure.'),
  },
  ...kindOf('Status'),
};

const deleteOptions: JsonSchema = {
  type: 'object',
  description: 'How an object is deleted.',
  properties: {
    ...typeMetaProperties,
    dryRun: list({ default: '', type: 'string' }, 'All: answer as ever, and keep the object.', atomic),
    gracePeriodSeconds: integer('int64', 'Seconds that the object may take to end.'),
    orphanDependents: boolean('Use propagationPolicy instead.'),
    preconditions: described(`${META}.Preconditions`, 'Delete the object only as the caller knows it.'),
    propagationPolicy: string('What becomes of dependents: Orphan, Background or Foreground.'),
  },
  ...kindOf('DeleteOptions'),
};

const apiResource: JsonSchema = {
  type: 'object',
  description: 'A resource, and what can be done with it.',
  properties: {
    categories: list(
      { default: '', type: 'string' },
      'Groups of resources that it belongs to, as in all.',
      atomic,
    ),
    group: string("Its kind's group where that is not the list's."),
    kind: text('Its kind.'),
    name: text('Its plural name.'),
    namespaced: { default: false, ...boolean('Whether its objects live in namespaces.') },
    shortNames: list({ default: '', type: 'string' }, 'Short names for command lines.', atomic),
    singularName: text('Its singular name.'),
    storageVersionHash: string('A hash of the version that is stored.'),
    verbs: list({ default: '', type: 'string' }, 'What can be done with it: get, list, watch and so on.', {}),
    version: string("Its kind's version where that is not the list's."),
  },
  required: ['name', 'singularName', 'namespaced', 'kind', 'verbs'],
};

/** metav1 types that every API refers to; the words are ours, the shapes Kubernetes'. */
export const metaSchemas: Schemas = {
  [`${META}.APIResource`]: apiResource,
  [`${META}.APIResourceList`]: {
    type: 'object',
    description: 'The resources of one group and version.',
    properties: {
      ...typeMetaProperties,
      groupVersion: text('The group and version.'),
      resources: list({ ...described(`${META}.APIResource`, ''), default: {} }, 'The resources.', atomic),
    },
    required: ['groupVersion', 'resources'],
    ...kindOf('APIResourceList'),
  },
  [`${META}.DeleteOptions`]: deleteOptions,
  [`${META}.FieldsV1`]: { type: 'object', description: 'A set of fields as a tree of keys.' },
  [`${META}.ListMeta`]: {
    type: 'object',
    description: 'What all lists have.',
    properties: {
      continue: string('Where the next part of the list begins; empty at its end.'),
      remainingItemCount: integer('int64', 'How many objects are still to come.'),
      resourceVersion: string('The version of the whole list: what to watch from.'),
      selfLink: string('No longer used.'),
    },
  },
  [`${META}.ManagedFieldsEntry`]: {
    type: 'object',
    description: 'The fields that one manager set.',
    properties: {
      apiVersion: string('The version that the fields are named in.'),
      fieldsType: string('The format of fieldsV1.'),
      fieldsV1: described(`${META}.FieldsV1`, 'The fields.'),
      manager: string('Who set them.'),
      operation: string('Apply or Update.'),
      subresource: string('The subresource that they were set through.'),
      time: described(`${META}.Time`, 'When they last changed.'),
    },
  },
  [`${META}.ObjectMeta`]: objectMeta,
  [`${META}.OwnerReference`]: {
    type: 'object',
    description: 'An object that another one depends on.',
    properties: {
      apiVersion: text('Its group and version.'),
      blockOwnerDeletion: boolean(
        'Whether the owner waits for this object when it is deleted in the foreground.',
      ),
      controller: boolean('Whether the owner is the one that manages the object.'),
      kind: text('Its kind.'),
      name: text('Its name.'),
      uid: text('Its uid.'),
    },
    required: ['apiVersion', 'kind', 'name', 'uid'],
    'x-kubernetes-map-type': 'atomic',
  },
  [`${META}.Patch`]: {
    type: 'object',
    description: 'A patch in the format of its content type, to the object as it is.',
  },
  [`${META}.Preconditions`]: {
    type: 'object',
    description: 'What must hold before something is done.',
    properties: {
      resourceVersion: string('The version that the object must have.'),
      uid: string('The uid that the object must have.'),
    },
  },
  [`${META}.Status`]: status,
  [`${META}.StatusCause`]: {
    type: 'object',
    description: 'One of several reasons.',
    properties: {
      field: string('The field that caused it, as a path.'),
      message: string('What is wrong, for people.'),
      reason: string('What is wrong, in one word.'),
    },
  },
  [`${META}.StatusDetails`]: {
    type: 'object',
    description: 'More about the reason of a status.',
    properties: {
      causes: list({ ...described(`${META}.StatusCause`, ''), default: {} }, 'All that is wrong.', atomic),
      group: string('The group of the resource.'),
      kind: string('The resource that it is about.'),
      name: string('The object that it is about.'),
      retryAfterSeconds: integer('int32', 'After how many seconds the request may be repeated.'),
      uid: string('The uid of the object.'),
    },
  },
  [`${META}.Time`]: { type: 'string', format: 'date-time', description: 'A time as in RFC 3339.' },
  [`${META}.WatchEvent`]: {
    type: 'object',
    description: 'One event of a watch.',
    properties: {
      object: described(RAW_EXTENSION, 'The object; for ERROR a Status.'),
      type: text('ADDED, MODIFIED, DELETED, BOOKMARK or ERROR.'),
    },
    required: ['type', 'object'],
    ...kindOf('WatchEvent'),
  },
  [RAW_EXTENSION]: { type: 'object', description: 'An object of any kind.' },
};
