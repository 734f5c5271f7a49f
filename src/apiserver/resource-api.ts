import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import Fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { NodePair } from './exchange.ts';
import type { Log } from '../base/log.ts';
import type { SpreadEnds } from '../base/spread-ends.ts';
import { badRequest, methodNotAllowed, unsupportedMediaType } from '../kube/status.ts';
import type { StatusError } from '../kube/status.ts';
import { OBJECT_TYPES, PATCH_TYPES } from './resource-body.ts';
import { addDiscoveryRoutes } from './resource-api-documents.ts';
import { addResourceRoutes, answerUnrouted, placesOf } from './resource-api-routes.ts';
import { sendStatus } from './resource-response.ts';
import { requestContext } from './request-context.ts';
import type { AnyResource } from './resource.ts';
import { byGroupVersion } from './resource-names.ts';
import { statusErrorOf } from './status-response.ts';
import type { WatchObserver } from './watch-metrics.ts';
import { WatchServer } from './watch-server.ts';

export interface ResourceApiOptions {
  readonly resources: readonly AnyResource[];
  readonly log: Log;
  /** Told of each watch, so that all can be ended when the server stops. */
  readonly streams?: Pick<SpreadEnds, 'add'>;
  /** Milliseconds that a watch lasts at least whose caller names no time, twice that at most; default half an hour. */
  readonly minWatchTimeoutMs?: number;
  /** Milliseconds between the bookmarks of a watch; one minute as kube-apiserver. */
  readonly bookmarkIntervalMs?: number;
  /** Told of each event of a watch. */
  readonly watchObserver?: WatchObserver;
  /** Stands in the OpenAPI documents. */
  readonly version?: string;
}

export interface ResourceApi {
  /** `group/resource` of everything that is served here, for metrics. */
  readonly resourceNames: readonly string[];
  /** Open watches. */
  readonly watches: number;
  /** Answers one admitted request: `attachRequestContext` was called for it. */
  handle(request: NodePair['request'], response: NodePair['response']): void;
  /** Ends the watches and waits for what is being answered. */
  close(): Promise<void>;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Serves discovery, OpenAPI and the resources: everything behind admission but `connect` subresources. */
export async function createResourceApi(options: ResourceApiOptions): Promise<ResourceApi> {
  const { resources, log, streams } = options;
  const watches = new WatchServer({
    bookmarkIntervalMs: options.bookmarkIntervalMs ?? 60_000,
    minTimeoutMs: options.minWatchTimeoutMs ?? 1_800_000,
    log,
    ...(streams ? { streams } : {}),
    ...(options.watchObserver ? { observe: options.watchObserver } : {}),
  });
  const { app, handler } = createApp(log);
  const groupVersions = byGroupVersion(resources);
  const documentPaths = addDiscoveryRoutes(app, groupVersions, options.version ?? 'unversioned');
  const places = resources.flatMap((resource) => placesOf(resource, watches));
  for (const place of places) addResourceRoutes(app, place);
  app.setNotFoundHandler((request, reply) => answerUnrouted({ request, reply }, places, documentPaths));
  await app.ready();
  const answering = new Answering();
  return {
    resourceNames: resources.map(({ group, plural }) => `${group}/${plural}`),
    get watches() {
      return watches.size;
    },
    handle: (request, response) => {
      answering.add(response);
      const { body } = requestContext(request);
      // A body that nobody wants must not hold its connection's window (RFC 9113 8.1).
      response.once('finish', () => body?.resume());
      // Fastify's types know one protocol at a time; its code asks each request for its own.
      handler()(request as IncomingMessage, response as ServerResponse);
    },
    close: async () => {
      watches.end();
      await answering.done();
      await app.close();
    },
  };
}

function createApp(log: Log): { app: FastifyInstance; handler: () => Handler } {
  let captured: Handler | undefined;
  const app = Fastify({
    // The listener is ours: what fastify would hand to a server of its own is called for each request instead.
    serverFactory: (handler) => {
      captured = handler;
      return createServer();
    },
    logger: false,
    routerOptions: {
      // Kubernetes takes a path and the same path with a slash as one.
      ignoreTrailingSlash: true,
      // A name may have 253 characters, percent-encoded three times as many.
      maxParamLength: 1024,
    },
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => {
      void fail({ error: badRequest(error.message), request, reply, log });
    },
  });
  // Whoever needs a body reads it; a body that nobody needs does not matter, whatever its type.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.addHook('onRequest', (request, reply, done) => {
    const { auditId } = requestContext(request.raw);
    void reply.headers({ 'audit-id': auditId, 'cache-control': 'no-cache, private' });
    done();
  });
  app.setErrorHandler((error, request, reply) => fail({ error, request, reply, log }));
  return {
    app,
    handler: () => {
      if (!captured) throw new Error('fastify made no server');
      return captured;
    },
  };
}

/** Everything thrown is answered as a Status; what is not meant for callers is logged only. */
function fail({
  error,
  request,
  reply,
  log,
}: {
  error: unknown;
  request: FastifyRequest;
  reply: FastifyReply;
  log: Log;
}): FastifyReply {
  const failure = ownFailure(error, request) ?? statusErrorOf(error);
  // Who went away, or whose time is up, hears nothing any more, and what broke for it is no fault.
  if (failure.status.code >= 500 && !requestContext(request.raw).signal.aborted)
    log.error({ err: failure.cause ?? error }, 'request failed');
  return sendStatus({ request, reply }, failure.status);
}

/** Fastify's own answers, to a method that HTTP does not know, and to a content type that is none. */
function ownFailure(error: unknown, { method }: FastifyRequest): StatusError | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  if (error.code === 'FST_ERR_NOT_FOUND') return methodNotAllowed();
  if (error.code !== 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return undefined;
  return unsupportedMediaType(method === 'PATCH' ? PATCH_TYPES : OBJECT_TYPES);
}

/** Counts what is being answered. */
class Answering {
  readonly #open = new Set<object>();
  #onEmpty: (() => void) | undefined;

  add(response: NodePair['response']): void {
    this.#open.add(response);
    response.once('close', () => {
      this.#open.delete(response);
      if (this.#open.size === 0) this.#onEmpty?.();
    });
  }

  async done(): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => (this.#onEmpty = resolve));
  }
}
