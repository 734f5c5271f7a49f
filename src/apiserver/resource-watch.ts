import type { FastifyReply } from 'fastify';
import { StatusError, verbNotSupported } from '../kube/status.ts';
import { parseListOptions } from './list-options.ts';
import { negotiate } from './negotiation.ts';
import { requestContext } from './request-context.ts';
import type { ReadRequest } from './resource-read.ts';
import { acceptOf, queryOf } from './resource-response.ts';
import { includeObjectOf } from './table-conversion.ts';
import type { WatchEncoder } from './watch-encoder.ts';
import type { WatchServer } from './watch-server.ts';
import type { NodeResponse } from './watch-stream.ts';

/** GET of changes, until the caller, the time or the server ends it. */
export async function serveWatch(
  { request, reply, resource, context: { user, auditId, namespace } }: ReadRequest,
  { encoder, watches }: { encoder: WatchEncoder; watches: WatchServer },
): Promise<FastifyReply | undefined> {
  if (!resource.watch) throw verbNotSupported({ group: resource.group, resource: resource.plural }, 'watch');
  const query = queryOf(request);
  const { transform } = negotiate(acceptOf(request), { stream: true });
  if (transform?.kind === 'PartialObjectMetadataList')
    throw new StatusError(
      'NotAcceptable',
      'you requested PartialObjectMetadataList, but the requested object is not a list',
    );
  const includeObject = transform?.kind === 'Table' ? includeObjectOf(query) : 'Metadata';
  const options = parseListOptions(query, namespace);
  if (request.method === 'HEAD') return reply.header('content-type', 'application/json').send();
  const response: NodeResponse = reply.raw;
  await watches.serve({
    resource,
    encoder,
    options,
    view: { transform, includeObject },
    context: { user, auditId, namespace },
    response,
    onOpen: () => {
      // From here on the answer is a stream of lines, which fastify has no part in.
      reply.hijack();
      writeHead(response, { ...reply.getHeaders(), 'content-type': 'application/json' });
      requestContext(request.raw).audit?.responseStarted(200);
    },
  });
  // The answer was taken over: fastify waits for nothing more.
  return undefined;
}

/** Before the first event, which may be long in coming. */
function writeHead(response: NodeResponse, headers: Readonly<Record<string, unknown>>): void {
  response.statusCode = 200;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, String(value));
  response.flushHeaders();
}
