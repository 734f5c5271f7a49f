import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { KubeObject } from '../kube/object-meta.ts';
import { checkResourceVersion, compareResourceVersions } from '../kube/resource-version.ts';
import { StatusError, expired, notFound, resourceVersionTooLarge, verbNotSupported } from '../kube/status.ts';
import type { ListOptions } from './list-options.ts';
import { isSelected } from './list-options.ts';
import type { ContinueToken, Page } from './list-page.ts';
import { expiredContinue, pageOf } from './list-page.ts';
import type { Representation } from './negotiation.ts';
import { negotiate } from './negotiation.ts';
import { acceptOf, queryOf, sendObject } from './resource-response.ts';
import type { AnyResource, ResourceContext, ResourceList } from './resource.ts';
import { groupVersionOf } from './resource-names.ts';
import { includeObjectOf, toPartialObject, toTable } from './table-conversion.ts';

/** How long a caller waits for a version that another replica knows already, as in kube-apiserver's cache. */
const behindGraceMs = 3_000;

export interface ReadRequest {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly resource: AnyResource;
  readonly context: ResourceContext;
}

/** GET of one object, from a resource or one of its subresources. */
export async function answerGet(
  read: ReadRequest,
  source: Pick<AnyResource, 'get'>,
  name: string,
): Promise<FastifyReply> {
  const { request, resource, context } = read;
  const show = objectView(read);
  await notOlderThan(resource, queryOf(request).first('resourceVersion') ?? '', context);
  const object = await source.get?.(name, context);
  if (!object) throw notFound({ group: resource.group, resource: resource.plural }, name);
  return show(object);
}

/**
 * How the caller wants one object to be shown. Asked before anything is done: a write whose answer cannot be given is
 * not made. Throws a 406 StatusError.
 */
export function objectView({
  request,
  reply,
  resource,
}: Pick<ReadRequest, 'request' | 'reply' | 'resource'>): (object: KubeObject) => Promise<FastifyReply> {
  const { format, transform } = checkedTransform(negotiate(acceptOf(request), { stream: false }), {
    isList: false,
  });
  const includeObject = transform?.kind === 'Table' ? includeObjectOf(queryOf(request)) : undefined;
  return (object) => {
    if (!transform) return sendObject({ request, reply }, object, format);
    const { version } = transform;
    if (includeObject === undefined)
      return sendObject({ request, reply }, toPartialObject(object, version), format);
    const metadata = { resourceVersion: object.metadata.resourceVersion ?? '' };
    const options = { version, includeObject, withColumns: true };
    return sendObject(
      { request, reply },
      toTable(resource, { objects: [object], metadata }, options),
      format,
    );
  };
}

/** GET of all objects. */
export async function answerList(read: ReadRequest, options: ListOptions): Promise<FastifyReply> {
  const show = listView(read);
  return show(await selectedPage(read.resource, options, read.context));
}

/** How the caller wants a list to be shown; asked before anything is done. Throws a 406 StatusError. */
export function listView(read: Omit<ReadRequest, 'context'>): (page: Page) => Promise<FastifyReply> {
  const { request, resource } = read;
  const representation = negotiate(acceptOf(request), { stream: false });
  const { transform } = checkedTransform(representation, { isList: true });
  const includeObject = transform?.kind === 'Table' ? includeObjectOf(queryOf(request)) : undefined;
  return ({ objects, metadata }) => {
    if (transform && includeObject !== undefined) {
      const tableOptions = { version: transform.version, includeObject, withColumns: true };
      return sendObject(read, toTable(resource, { objects, metadata }, tableOptions), representation.format);
    }
    return sendObject(read, listObject({ resource, transform }, metadata, objects), representation.format);
  };
}

/** The objects that the options are about: all that are selected, or the next page of them. */
export async function selectedPage(
  resource: AnyResource,
  options: ListOptions,
  context: ResourceContext,
): Promise<Page> {
  const list = await (options.continued
    ? continuedList(resource, options.continued, context)
    : listFor(resource, options, context));
  return pageOf(
    list.items.filter((object) => isSelected(object, options)),
    {
      // Any state is the whole state at once, as from kube-apiserver's cache.
      limit: options.resourceVersion === '0' && !options.continued ? undefined : options.limit,
      after: options.continued?.after ?? '',
      isSelection: options.labelSelector.length > 0 || options.fieldSelector.length > 0,
      resourceVersion: list.resourceVersion,
    },
  );
}

function listObject(
  { resource, transform }: { resource: AnyResource; transform: Representation['transform'] },
  metadata: object,
  items: readonly KubeObject[],
): object {
  if (!transform) {
    return {
      kind: `${resource.kind}List`,
      apiVersion: groupVersionOf(resource),
      metadata,
      items,
    };
  }
  return {
    kind: 'PartialObjectMetadataList',
    apiVersion: `meta.k8s.io/${transform.version}`,
    metadata,
    items: items.map((object) => toPartialObject(object, transform.version)),
  };
}

/** One object cannot be shown as a list, nor a list as one object. */
function checkedTransform(representation: Representation, { isList }: { isList: boolean }): Representation {
  const wrong = isList ? 'PartialObjectMetadata' : 'PartialObjectMetadataList';
  if (representation.transform?.kind !== wrong) return representation;
  const found = isList ? 'a list' : 'not a list';
  throw new StatusError('NotAcceptable', `you requested ${wrong}, but the requested object is ${found}`);
}

/** The list in a state that fits the options' resource version. */
export async function listFor(
  resource: AnyResource,
  { resourceVersion, resourceVersionMatch }: ListOptions,
  context: ResourceContext,
): Promise<ResourceList<KubeObject>> {
  if (resourceVersionMatch !== 'Exact') return listAtLeast(resource, resourceVersion, context);
  const list = await listAt(resource, resourceVersion, context);
  if (!list) throw expired(`The resourceVersion for the provided list is too old: ${resourceVersion}`);
  return list;
}

/** In the state that the pages before were of; in any where their caller has given that up. */
async function continuedList(
  resource: AnyResource,
  { resourceVersion, after }: ContinueToken,
  context: ResourceContext,
): Promise<ResourceList<KubeObject>> {
  if (resourceVersion === undefined) return listAtLeast(resource, '', context);
  const list = await listAt(resource, resourceVersion, context);
  if (!list) throw expiredContinue(after);
  return list;
}

async function listAt(
  resource: AnyResource,
  resourceVersion: string,
  context: ResourceContext,
): Promise<ResourceList<KubeObject> | undefined> {
  const present = await listAtLeast(resource, resourceVersion, context);
  if (present.resourceVersion === resourceVersion) return present;
  return resource.listAt?.(resourceVersion, context);
}

async function listAtLeast(
  resource: AnyResource,
  resourceVersion: string,
  context: ResourceContext,
): Promise<ResourceList<KubeObject>> {
  if (!resource.list) throw verbNotSupported({ group: resource.group, resource: resource.plural }, 'list');
  const deadline = performance.now() + behindGraceMs;
  for (;;) {
    const list = await resource.list(context);
    if (resourceVersion === '' || compareResourceVersions(list.resourceVersion, resourceVersion) >= 0)
      return list;
    if (performance.now() >= deadline || context.signal.aborted)
      throw resourceVersionTooLarge(resourceVersion, list.resourceVersion);
    await sleep(50, undefined, { signal: context.signal }).catch(() => undefined);
  }
}

async function notOlderThan(
  resource: AnyResource,
  resourceVersion: string,
  context: ResourceContext,
): Promise<void> {
  if (resourceVersion === '' || resourceVersion === '0' || !resource.list) return;
  checkResourceVersion(resourceVersion);
  await listAtLeast(resource, resourceVersion, context);
}
