import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '../base/log.ts';
import type { RequestInfo } from '../kube/request-info.ts';
import { StatusError, methodNotAllowed, unknownResource, verbNotSupported } from '../kube/status.ts';
import { parseListOptions } from './list-options.ts';
import { negotiate } from './negotiation.ts';
import { requestContext } from './request-context.ts';
import type { NodeResponse } from './watch-stream.ts';
import type { ReadRequest } from './resource-read.ts';
import { answerGet, answerList } from './resource-read.ts';
import { acceptOf, queryOf, sendStatus, sendText } from './resource-response.ts';
import type { AnyResource, ResourceContext } from './resource.ts';
import { pathOf } from './resource-names.ts';
import { includeObjectOf } from './table-conversion.ts';
import { WatchEncoder } from './watch-encoder.ts';
import type { WatchServer } from './watch-server.ts';

export interface ResourceRoutesOptions {
  readonly watches: WatchServer;
  readonly log: Log;
}

/** Adds the paths of one resource. What it does not offer is left to {@link answerUnrouted}. */
export function addResourceRoutes(
  app: FastifyInstance,
  resource: AnyResource,
  { watches }: ResourceRoutesOptions,
): void {
  const encoder = new WatchEncoder(resource);
  if (resource.list) {
    app.get(pathOf(resource), async (request, reply) => {
      const info = checkedInfo(request, resource, 1);
      const options = parseListOptions(queryOf(request));
      // What was authorized is what is done: both come from the same query.
      if (options.watch !== (info.verb === 'watch')) throw unknownResource();
      if (options.watch) return serveWatch({ request, reply, resource, encoder }, watches);
      return answerList(readRequest(request, reply, resource), options);
    });
  }
  if (resource.get) {
    app.get(`${pathOf(resource)}/:name`, async (request, reply) => {
      const { name } = checkedInfo(request, resource, 2);
      return answerGet(readRequest(request, reply, resource), name);
    });
  }
}

/**
 * The request as it was authorized. Fastify's router reads paths a little differently (`%2F`, a doubled slash): where
 * the two do not agree, nothing is served.
 */
function checkedInfo(request: FastifyRequest, resource: AnyResource, parts: number): RequestInfo {
  const { requestInfo: info } = requestContext(request.raw);
  const agrees =
    info.isResourceRequest &&
    info.apiGroup === resource.group &&
    info.apiVersion === resource.version &&
    info.resource === resource.plural &&
    info.namespace === '' &&
    info.parts.length === parts &&
    info.parts.every((part) => part !== '' && part !== '.' && part !== '..');
  if (!agrees) throw unknownResource();
  return info;
}

const contextOf = (request: FastifyRequest): Omit<ResourceContext, 'signal'> => {
  const { user, auditId } = requestContext(request.raw);
  return { user, auditId, namespace: '' };
};

function readRequest(request: FastifyRequest, reply: FastifyReply, resource: AnyResource): ReadRequest {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new Error('the caller went away'));
  });
  return { request, reply, resource, context: { ...contextOf(request), signal: controller.signal } };
}

async function serveWatch(
  {
    request,
    reply,
    resource,
    encoder,
  }: Pick<ReadRequest, 'request' | 'reply' | 'resource'> & { encoder: WatchEncoder },
  watches: WatchServer,
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
  const options = parseListOptions(query);
  if (request.method === 'HEAD') return reply.header('content-type', 'application/json').send();
  const response: NodeResponse = reply.raw;
  await watches.serve({
    resource,
    encoder,
    options,
    view: { transform, includeObject },
    context: contextOf(request),
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
  // Node's type of HTTP/2 responses does not know it; both protocols have it.
  (response as ServerResponse).flushHeaders();
}

/**
 * Answers what no route takes. Below our groups it is a Status, 405 where the path is a resource's; elsewhere it is
 * the text that kube-apiserver's mux gives.
 */
export function answerUnrouted(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  resources: readonly AnyResource[],
  documentPaths: ReadonlySet<string>,
): FastifyReply {
  const { requestInfo: info } = requestContext(request.raw);
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (!info.isResourceRequest) {
    const isDocument = documentPaths.has(info.path.replace(/\/$/, ''));
    if (isDocument && !isRead) return notAllowed({ request, reply }, ['GET', 'HEAD']);
    return sendText(reply, 404, '404 page not found\n');
  }
  const resource = resources.find(
    ({ group, version, plural }) =>
      info.apiPrefix === 'apis' &&
      group === info.apiGroup &&
      version === info.apiVersion &&
      plural === info.resource,
  );
  const isOfResource =
    resource && info.namespace === '' && info.parts.length <= 2 && !info.parts.includes('');
  if (!isOfResource) return sendStatus({ request, reply }, unknownResource().status);
  const offersGet = resource[info.parts.length === 1 ? 'list' : 'get'] !== undefined;
  if (isRead && offersGet) return sendStatus({ request, reply }, unknownResource().status);
  return notAllowed({ request, reply }, offersGet ? ['GET', 'HEAD'] : []);
}

function notAllowed(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  methods: readonly string[],
): FastifyReply {
  void reply.header('allow', methods.join(', '));
  return sendStatus({ request, reply }, methodNotAllowed().status);
}
