import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { RequestInfo } from '../kube/request-info.ts';
import { methodNotAllowed, unknownResource } from '../kube/status.ts';
import { parseListOptions } from './list-options.ts';
import type { ObjectSchema } from './object-schema.ts';
import { createObjectSchema } from './object-schema.ts';
import { requestContext } from './request-context.ts';
import { answerDeleteCollection } from './resource-delete-collection.ts';
import type { ReadRequest } from './resource-read.ts';
import { answerGet, answerList } from './resource-read.ts';
import { queryOf, sendStatus, sendText } from './resource-response.ts';
import { serveWatch } from './resource-watch.ts';
import type { WriteTarget } from './resource-write.ts';
import { answerCreate, answerDelete, answerPatch, answerUpdate } from './resource-write.ts';
import type { AnyResource } from './resource.ts';
import { groupVersionOf, offersDeleteCollection } from './resource-names.ts';
import { WatchEncoder } from './watch-encoder.ts';
import type { WatchServer } from './watch-server.ts';

/** Answers a request whose path was found to be what was authorized. */
type Answer = (read: ReadRequest, info: RequestInfo) => Promise<FastifyReply | undefined>;

type RouteMethod = 'DELETE' | 'GET' | 'PATCH' | 'POST' | 'PUT';

/** One path of a resource, and what is answered there. */
export interface ResourcePlace {
  readonly resource: AnyResource;
  /** As fastify has it: `/apis/example.dev/v1/widgets/:name`. */
  readonly url: string;
  readonly hasNamespace: boolean;
  /** Segments from the resource on: 1 for all objects, 2 for one, 3 for its subresource. */
  readonly parts: 1 | 2 | 3;
  readonly subresource: string;
  readonly methods: Readonly<Partial<Record<RouteMethod, Answer>>>;
}

/** The places of one resource. */
export function placesOf(resource: AnyResource, watches: WatchServer): ResourcePlace[] {
  const schema = createObjectSchema(resource);
  const base = `/apis/${groupVersionOf(resource)}`;
  const hasNamespace = resource.scope === 'Namespaced';
  const inside = `${base}${hasNamespace ? '/namespaces/:namespace' : ''}/${resource.plural}`;
  const common = { resource, hasNamespace, subresource: '' };
  const read = resource.list ? { GET: listAnswer(resource, watches) } : {};
  const create: Answer = (write) => answerCreate({ ...write, schema });
  const remove: Answer = (write, { name }) => answerDelete({ ...write, schema }, name);
  const removeAll: Answer = (write) => answerDeleteCollection({ ...write, schema });
  return [
    {
      ...{ ...common, url: inside, parts: 1 },
      methods: {
        ...read,
        ...(resource.create ? { POST: create } : {}),
        ...(offersDeleteCollection(resource) ? { DELETE: removeAll } : {}),
      },
    },
    // All namespaces: they can be read only.
    ...(hasNamespace
      ? [
          {
            ...common,
            ...({ hasNamespace: false, url: `${base}/${resource.plural}`, parts: 1, methods: read } as const),
          },
        ]
      : []),
    {
      ...common,
      url: `${inside}/:name`,
      parts: 2,
      methods: { ...objectMethods(resource, schema), ...(resource.delete ? { DELETE: remove } : {}) },
    },
    ...(resource.subresources ?? []).flatMap((subresource): ResourcePlace[] =>
      subresource.type === 'connect'
        ? []
        : [
            {
              ...common,
              url: `${inside}/:name/${subresource.name}`,
              parts: 3,
              subresource: subresource.name,
              methods: objectMethods(subresource, schema),
            },
          ],
    ),
  ];
}

/** GET, PUT and PATCH of one object, or of a part of it. */
function objectMethods(target: WriteTarget, schema: ObjectSchema): ResourcePlace['methods'] {
  const get: Answer = (read, { name }) => answerGet(read, target, name);
  const put: Answer = (read, { name }) => answerUpdate({ ...read, schema }, target, name);
  const patch: Answer = (read, { name }) => answerPatch({ ...read, schema }, target, name);
  return {
    ...(target.get ? { GET: get } : {}),
    ...(target.update ? { PUT: put } : {}),
    ...(target.get && target.update ? { PATCH: patch } : {}),
  };
}

function listAnswer(resource: AnyResource, watches: WatchServer): Answer {
  const encoder = new WatchEncoder(resource);
  return async (read, info) => {
    const options = parseListOptions(queryOf(read.request), info.namespace);
    // What was authorized is what is done: both come from the same query.
    if (options.watch !== (info.verb === 'watch')) throw unknownResource();
    return options.watch ? serveWatch(read, { encoder, watches }) : answerList(read, options);
  };
}

/** Adds the paths of one resource. What it does not offer is left to {@link answerUnrouted}. */
export function addResourceRoutes(app: FastifyInstance, place: ResourcePlace): void {
  for (const [method, answer] of Object.entries(place.methods)) {
    app.route({
      method,
      url: place.url,
      handler: (request, reply) => {
        const info = checkedInfo(request, place);
        return answer(readRequest({ request, reply, info }, place.resource), info);
      },
    });
  }
}

/**
 * The request as it was authorized. Fastify's router reads paths a little differently (`%2F`, a doubled slash): where
 * the two do not agree, nothing is served.
 */
function checkedInfo(request: FastifyRequest, place: ResourcePlace): RequestInfo {
  const { requestInfo: info } = requestContext(request.raw);
  if (!isAt(info, place)) throw unknownResource();
  return info;
}

function isAt(info: RequestInfo, { resource, parts, hasNamespace, subresource }: ResourcePlace): boolean {
  return (
    info.isResourceRequest &&
    info.apiPrefix === 'apis' &&
    info.apiGroup === resource.group &&
    info.apiVersion === resource.version &&
    info.resource === resource.plural &&
    info.parts.length === parts &&
    info.subresource === subresource &&
    (info.namespace !== '') === hasNamespace &&
    [info.namespace || 'none', ...info.parts].every((part) => part !== '' && part !== '.' && part !== '..')
  );
}

function readRequest(
  { request, reply, info }: { request: FastifyRequest; reply: FastifyReply; info: RequestInfo },
  resource: AnyResource,
): ReadRequest {
  const { user, auditId, signal } = requestContext(request.raw);
  return { request, reply, resource, context: { user, auditId, signal, namespace: info.namespace } };
}

/**
 * Answers what no route takes. Below our groups it is a Status, 405 where the path is a resource's; elsewhere it is
 * the text that kube-apiserver's mux gives.
 */
export function answerUnrouted(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  places: readonly ResourcePlace[],
  documentPaths: ReadonlySet<string>,
): FastifyReply {
  const { requestInfo: info } = requestContext(request.raw);
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (!info.isResourceRequest) {
    const isDocument = documentPaths.has(info.path.replace(/\/$/, ''));
    if (isDocument && !isRead) return notAllowed({ request, reply }, ['GET', 'HEAD']);
    return sendText(reply, 404, '404 page not found\n');
  }
  const place = places.find((each) => isAt(info, each));
  const allowed = Object.keys(place?.methods ?? {}).flatMap((method) =>
    method === 'GET' ? ['GET', 'HEAD'] : [method],
  );
  // What is allowed here and has no route all the same, the router reads differently.
  if (!place || allowed.includes(request.method))
    return sendStatus({ request, reply }, unknownResource().status);
  return notAllowed({ request, reply }, allowed);
}

function notAllowed(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  methods: readonly string[],
): FastifyReply {
  void reply.header('allow', methods.join(', '));
  return sendStatus({ request, reply }, methodNotAllowed().status);
}
