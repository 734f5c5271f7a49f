import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import { applyJsonPatch, parseJsonPatch } from '../kube/json-patch.ts';
import type { ReadDocument } from '../kube/json-text.ts';
import { isJsonObject } from '../kube/json-text.ts';
import { applyMergePatch } from '../kube/merge-patch.ts';
import type { KubeObject } from '../kube/object-meta.ts';
import {
  StatusError,
  badRequest,
  conflict,
  fieldInvalid,
  invalid,
  notFound,
  verbNotSupported,
} from '../kube/status.ts';
import type { ObjectSchema } from './object-schema.ts';
import { requestContext } from './request-context.ts';
import type { PatchType } from './resource-body.ts';
import { patchTypeOf, readDocument, readOptionalDocument, readPatch } from './resource-body.ts';
import type { ReadRequest } from './resource-read.ts';
import { objectView } from './resource-read.ts';
import { addWarnings, queryOf, sendObject } from './resource-response.ts';
import type { AnyResource, WriteContext } from './resource.ts';
import type { WriteOptions } from './write-options.ts';
import { parseDeleteOptions, parseWriteOptions } from './write-options.ts';
import {
  checkObject,
  checkPlace,
  decodeObject,
  stampChanged,
  stampNew,
  withGeneratedName,
} from './written-object.ts';

/** What an object is written through: a resource, or one of its subresources. */
export type WriteTarget = Pick<AnyResource, 'get' | 'update'>;

export interface WriteRequest extends ReadRequest {
  readonly schema: ObjectSchema;
}

/** How often a generated name is made anew where it is taken. */
const maxNames = 8;
/** How often a patch is applied anew to an object that changed meanwhile (endpoints/handlers/patch.go). */
const maxPatches = 5;
/** Milliseconds before the second try; twice as many before each further one: a cache has to learn of the change. */
const patchDelayMs = 10;

const nameOf = ({ group, plural }: AnyResource) => ({ group, resource: plural });

/** POST of a new object. */
export async function answerCreate(write: WriteRequest): Promise<FastifyReply> {
  const { resource, request, reply, context } = write;
  const show = objectView(write);
  const options = parseWriteOptions(queryOf(request), 'CreateOptions');
  const document = await readDocument(request);
  requestContext(request.raw).audit?.requestObject(document.value);
  const decoded = decode(write, document, options);
  const given = decoded.object;
  const { namespace } = context;
  if (namespace !== '' && given.metadata.namespace && given.metadata.namespace !== namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  if (given.metadata.resourceVersion)
    throw badRequest('resourceVersion should not be set on objects to be created');
  const kept = await withFreeName(given, async (named) => {
    const object = stampNew(named, namespace);
    checkObject({ object, causes: decoded.causes }, resource, undefined);
    if (!resource.create) throw verbNotSupported(nameOf(resource), 'create');
    return resource.create(object, writeContext(write, options));
  });
  addWarnings(reply, decoded.warnings);
  void reply.code(201);
  return show(kept);
}

/** Names that are made up may be taken; those that callers choose are tried once. */
async function withFreeName(
  object: KubeObject,
  create: (named: KubeObject) => Promise<KubeObject>,
): Promise<KubeObject> {
  for (let tries = 1; ; tries++) {
    const named = withGeneratedName(object);
    try {
      return await create(named);
    } catch (error) {
      const isTaken = error instanceof StatusError && error.status.reason === 'AlreadyExists';
      if (!isTaken || named === object || tries >= maxNames) throw error;
    }
  }
}

/** PUT of a whole object. */
export async function answerUpdate(
  write: WriteRequest,
  target: WriteTarget,
  name: string,
): Promise<FastifyReply> {
  const { resource, request, reply, context } = write;
  const show = objectView(write);
  const options = parseWriteOptions(queryOf(request), 'UpdateOptions');
  const document = await readDocument(request);
  requestContext(request.raw).audit?.requestObject(document.value);
  const decoded = decode(write, document, options);
  checkPlace(decoded.object, { name, namespace: context.namespace });
  // Where nothing is found, the resource decides: what it shows may be behind what it keeps.
  const previous = await target.get?.(name, context);
  checkUid(resource, previous, decoded.object);
  const object = stampChanged(decoded.object, previous, context.namespace);
  checkObject({ object, causes: decoded.causes }, resource, previous);
  const kept = await update(write, target, { object, options });
  addWarnings(reply, decoded.warnings);
  return show(kept);
}

function checkUid(resource: AnyResource, previous: KubeObject | undefined, object: KubeObject): void {
  const [known, given] = [previous?.metadata.uid, object.metadata.uid];
  if (!known || !given || known === given) return;
  throw conflict(
    nameOf(resource),
    object.metadata.name,
    `Precondition failed: UID in precondition: ${given}, UID in object meta: ${known}`,
  );
}

async function update(
  write: WriteRequest,
  target: WriteTarget,
  { object, options }: { object: KubeObject; options: WriteOptions },
): Promise<KubeObject> {
  if (!target.update) throw verbNotSupported(nameOf(write.resource), 'update');
  return target.update(object, writeContext(write, options));
}

/** PATCH, made of get and update. */
export async function answerPatch(
  write: WriteRequest,
  target: WriteTarget,
  name: string,
): Promise<FastifyReply> {
  const { request, reply, resource, context } = write;
  const type = patchTypeOf(request);
  const show = objectView(write);
  const document = await readPatch(request);
  requestContext(request.raw).audit?.requestPatch(document.value);
  const options = parseWriteOptions(queryOf(request), 'PatchOptions');
  const apply = patcher(type, document);
  for (let tries = 1; ; tries++) {
    const current = await target.get?.(name, context);
    if (!current) throw notFound(nameOf(resource), name);
    const patched = patch(write, { current, options, result: apply(current), document });
    const object = patched.object;
    try {
      const kept = await update(write, target, { object, options });
      addWarnings(reply, patched.warnings);
      return await show(kept);
    } catch (error) {
      const isConflict = error instanceof StatusError && error.status.reason === 'Conflict';
      const isOwnVersion = object.metadata.resourceVersion !== current.metadata.resourceVersion;
      if (!isConflict || isOwnVersion || tries > maxPatches) throw error;
    }
    await sleep(patchDelayMs * 2 ** (tries - 1));
    context.signal.throwIfAborted();
  }
}

/** Reads the patch once; it may be applied to several states of the object. */
function patcher(type: PatchType, { value }: ReadDocument): (current: KubeObject) => unknown {
  if (type === 'application/json-patch+json') {
    const operations = parseJsonPatch(value);
    return (current) => applyJsonPatch(current, operations);
  }
  if (!isJsonObject(value)) throw badRequest('a merge patch must be an object');
  return (current) => applyMergePatch(current, value);
}

interface Patched {
  readonly current: KubeObject;
  readonly options: WriteOptions;
  readonly result: unknown;
  readonly document: ReadDocument;
}

/** Checks what a patch made of an object, as kube-apiserver does: what cannot be an object is 422, not 400. */
function patch(
  write: WriteRequest,
  { current, options, result, document }: Patched,
): { object: KubeObject; warnings: readonly string[] } {
  const { resource, context } = write;
  const { name, uid } = current.metadata;
  const { duplicateFields } = document;
  const decoded = decodePatched({ value: result, duplicateFields }, write, options);
  checkPlace(decoded.object, { name, namespace: context.namespace });
  const given = decoded.object.metadata.uid;
  if (uid && given && given !== uid)
    throw invalid(resource, name, [fieldInvalid('metadata.uid', given, 'field is immutable')]);
  const object = stampChanged(decoded.object, current, context.namespace);
  checkObject({ object, causes: decoded.causes }, resource, current);
  return { object, warnings: decoded.warnings };
}

function decodePatched(document: ReadDocument, write: WriteRequest, options: WriteOptions) {
  try {
    return decode(write, document, options);
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    // The whole object stands in kube-apiserver's text; a start of it says as much.
    const shown = JSON.stringify(document.value).slice(0, 512);
    throw invalid({ group: '', kind: '' }, '', [fieldInvalid('patch', shown, error.message)]);
  }
}

/** DELETE of one object: answered with a Status, or with the object where it is not gone yet. */
export async function answerDelete(write: WriteRequest, name: string): Promise<FastifyReply> {
  const { resource, request, reply } = write;
  const show = objectView(write);
  const body = await readOptionalDocument(request);
  if (body) requestContext(request.raw).audit?.requestObject(body.value);
  const { dryRun, ...options } = parseDeleteOptions(queryOf(request), body?.value, resource);
  if (!resource.delete) throw verbNotSupported(nameOf(resource), 'delete');
  const deleted = await resource.delete(name, options, writeContext(write, { dryRun, fieldManager: '' }));
  const { uid, finalizers = [], deletionTimestamp } = deleted.metadata;
  if (deletionTimestamp !== undefined && finalizers.length > 0) return show(deleted);
  const details = { name, group: resource.group, kind: resource.plural, ...(uid ? { uid } : {}) };
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
  return sendObject({ request, reply }, status);
}

const decode = ({ resource, schema }: WriteRequest, document: ReadDocument, options: WriteOptions) =>
  decodeObject(document, { resource, schema, fieldValidation: options.fieldValidation });

const writeContext = (
  { context }: WriteRequest,
  { dryRun, fieldManager }: Pick<WriteOptions, 'dryRun' | 'fieldManager'>,
): WriteContext => ({ ...context, dryRun, fieldManager });
