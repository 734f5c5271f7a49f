import { randomInt, randomUUID } from 'node:crypto';
import type { ReadDocument } from '../kube/json-text.ts';
import { isJsonObject } from '../kube/json-text.ts';
import type { KubeObject, ObjectMeta } from '../kube/object-meta.ts';
import { checkObjectMeta } from '../kube/object-meta-check.ts';
import type { FieldCause } from '../kube/status.ts';
import { badRequest, invalid } from '../kube/status.ts';
import type { ObjectSchema } from './object-schema.ts';
import { groupVersionOf } from './resource-names.ts';
import type { AnyResource } from './resource.ts';
import type { FieldValidation } from './write-options.ts';

/** How what callers send becomes an object of a resource. */
export interface ObjectDecoding {
  readonly resource: AnyResource;
  readonly schema: ObjectSchema;
  /** What is done about fields that are unknown or stand twice. */
  readonly fieldValidation: FieldValidation;
}

export interface DecodedObject {
  /** Has a kind, an API version and a metadata object; nothing else is sure while there are causes. */
  readonly object: KubeObject;
  /** What its schema finds wrong. */
  readonly causes: readonly FieldCause[];
  /** Texts for the caller. */
  readonly warnings: readonly string[];
}

/** Throws a 400 StatusError for what is no such object, and for unknown fields where the caller is strict. */
export function decodeObject(document: ReadDocument, decoding: ObjectDecoding): DecodedObject {
  const { resource, fieldValidation } = decoding;
  const { value } = document;
  if (!isJsonObject(value))
    throw badRequest(`the object provided is unrecognized (must be of type ${resource.kind})`);
  checkType(value, resource);
  const { metadata } = value;
  if (metadata !== undefined && metadata !== null && !isJsonObject(metadata))
    throw badRequest(`${resource.kind} in version "${resource.version}" has metadata that is no object`);
  const { object, unknownFields, causes } = decoding.schema({
    ...value,
    apiVersion: groupVersionOf(resource),
    kind: resource.kind,
    metadata: withoutNulls(metadata ?? {}),
  });
  const strict =
    fieldValidation === 'Ignore'
      ? []
      : [
          ...document.duplicateFields.map((path) => `duplicate field "${path}"`),
          ...unknownFields.map((path) => `unknown field "${path}"`),
        ];
  if (fieldValidation === 'Strict' && strict.length > 0) {
    throw badRequest(
      `${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: strict decoding error: ${strict.join(', ')}`,
    );
  }
  // The three members were set above; a wrong type below them is among the causes.
  return { object: object as unknown as KubeObject, causes, warnings: strict };
}

/** Both may be missing: the path has said them already. */
function checkType(value: Readonly<Record<string, unknown>>, resource: AnyResource): void {
  const { apiVersion = '', kind = '' } = value;
  const expected = groupVersionOf(resource);
  if (apiVersion !== '' && apiVersion !== expected)
    throw badRequest(
      `the API version in the data (${String(apiVersion)}) does not match the expected API version (${expected})`,
    );
  if (kind !== '' && kind !== resource.kind)
    throw badRequest(
      `${String(kind)} in version "${resource.version}" cannot be handled as a ${resource.kind}`,
    );
}

/** Clients write `creationTimestamp: null` for what is not set. */
const withoutNulls = (object: object) =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));

export interface Place {
  readonly name: string;
  /** Empty for a resource of the cluster. */
  readonly namespace: string;
}

/** The object must be the one that the path names. Throws a 400 StatusError. */
export function checkPlace({ metadata }: KubeObject, { name, namespace }: Place): void {
  const given = metadata as { readonly name?: unknown; readonly namespace?: unknown };
  if (typeof given.name !== 'string' || given.name === '')
    throw badRequest(
      `the name of the object (${name} based on URL) was undeterminable: name must be provided`,
    );
  if (given.name !== name)
    throw badRequest(`the name of the object (${given.name}) does not match the name on the URL (${name})`);
  // One that is no text is among the causes.
  const own = typeof given.namespace === 'string' ? given.namespace : '';
  if (namespace !== '' && own !== '' && own !== namespace)
    throw badRequest(
      `the namespace of the object (${own}) does not match the namespace on the request (${namespace})`,
    );
}

/** Throws a 422 StatusError with everything that is wrong with an object that is to be kept. */
export function checkObject(
  { object, causes }: Pick<DecodedObject, 'object' | 'causes'>,
  resource: AnyResource,
  previous: KubeObject | undefined,
): void {
  // What reads the object further trusts its schema.
  const found =
    causes.length > 0
      ? causes
      : [...checkObjectMeta(object.metadata), ...(resource.validate?.(object, previous) ?? [])];
  if (found.length === 0) return;
  const name = (object.metadata as { name?: unknown }).name;
  throw invalid(resource, typeof name === 'string' ? name : '', found);
}

/** What the server alone says of a new object. */
export function stampNew(object: KubeObject, namespace: string): KubeObject {
  const stamps = {
    uid: randomUUID(),
    // Whole seconds, as Kubernetes writes times.
    creationTimestamp: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
  };
  return withMetadata(object, { ...stamps, ...placed(namespace) });
}

/** What an update cannot change stays as it was. */
export function stampChanged(
  object: KubeObject,
  previous: KubeObject | undefined,
  namespace: string,
): KubeObject {
  if (!previous) return withMetadata(object, placed(namespace));
  const { uid, creationTimestamp, deletionTimestamp, generation } = previous.metadata;
  const kept = { creationTimestamp, deletionTimestamp, generation };
  const stamps = Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined));
  return withMetadata(object, {
    ...(uid === undefined || object.metadata.uid ? {} : { uid }),
    ...stamps,
    ...placed(namespace),
  });
}

const placed = (namespace: string) => (namespace === '' ? {} : { namespace });

/** Server-side apply's notes are nobody's here; a resource of the cluster has no namespace. */
const servers = [
  'creationTimestamp',
  'deletionTimestamp',
  'generation',
  'managedFields',
  'namespace',
  'selfLink',
];

function withMetadata(object: KubeObject, stamps: Partial<ObjectMeta>): KubeObject {
  const given = Object.entries(object.metadata).filter(([name]) => !servers.includes(name));
  return { ...object, metadata: { ...(Object.fromEntries(given) as unknown as ObjectMeta), ...stamps } };
}

/** Without vowels and digits that read alike, so that nothing readable comes about (apimachinery util/rand). */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** A name from `metadata.generateName`, of at most 63 characters; the object itself where it has a name. */
export function withGeneratedName(object: KubeObject): KubeObject {
  const { name = '', generateName = '' } = object.metadata as Partial<ObjectMeta>;
  if (name !== '' || generateName === '') return object;
  const suffix = Array.from({ length: 5 }, () => alphabet.charAt(randomInt(alphabet.length))).join('');
  return {
    ...object,
    metadata: { ...object.metadata, name: `${generateName.slice(0, 58)}${suffix}` },
  };
}
