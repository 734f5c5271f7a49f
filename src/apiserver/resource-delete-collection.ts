import type { FastifyReply } from 'fastify';
import type { KubeObject } from '../kube/object-meta.ts';
import { StatusError, verbNotSupported } from '../kube/status.ts';
import { parseListOptions } from './list-options.ts';
import { requestContext } from './request-context.ts';
import { readOptionalDocument } from './resource-body.ts';
import { listView, selectedPage } from './resource-read.ts';
import { queryOf } from './resource-response.ts';
import type { WriteRequest } from './resource-write.ts';
import { parseDeleteOptions } from './write-options.ts';

/**
 * DELETE of all objects of a place that the selectors match, one after the other: answered with a list of what was
 * deleted. The first that fails ends it, with those before it gone (apiserver registry/generic/registry/store.go).
 */
export async function answerDeleteCollection(write: WriteRequest): Promise<FastifyReply> {
  const { resource, request, context } = write;
  const show = listView(write);
  const query = queryOf(request);
  const page = await selectedPage(resource, parseListOptions(query, context.namespace), context);
  const body = await readOptionalDocument(request);
  if (body) requestContext(request.raw).audit?.requestObject(body.value);
  const { dryRun, ...options } = parseDeleteOptions(query, body?.value, resource);
  if (!resource.delete)
    throw verbNotSupported({ group: resource.group, resource: resource.plural }, 'delete');
  const deleted: KubeObject[] = [];
  for (const { metadata } of page.objects) {
    context.signal.throwIfAborted();
    try {
      deleted.push(await resource.delete(metadata.name, options, { ...context, dryRun, fieldManager: '' }));
    } catch (error) {
      // Somebody else was faster.
      if (!(error instanceof StatusError) || error.status.reason !== 'NotFound') throw error;
    }
  }
  return show({ objects: deleted, metadata: page.metadata });
}
