import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { notAcceptable } from '../kube/status.ts';
import { aggregatedDiscovery, apiGroup, apiGroupList, apiResourceList } from './discovery.ts';
import { JSON_ONLY, negotiateDiscovery } from './negotiation.ts';
import { openApiV2, openApiV3 } from './openapi.ts';
import {
  acceptOf,
  acceptsJson,
  queryOf,
  sendDocument,
  sendObject,
  staticDocument,
} from './resource-response.ts';
import type { StaticDocument } from './resource-response.ts';
import type { GroupVersionResources } from './resource-names.ts';
import { groupVersionOf } from './resource-names.ts';

const yearMs = 365 * 24 * 60 * 60 * 1000;

/** Adds what describes the resources; gives the paths that were added. */
export function addDiscoveryRoutes(
  app: FastifyInstance,
  groupVersions: readonly GroupVersionResources[],
  version: string,
): ReadonlySet<string> {
  const paths = new Set<string>();
  const route = (path: string, answer: (request: FastifyRequest, reply: FastifyReply) => unknown) => {
    if (paths.has(path)) return;
    paths.add(path);
    app.get(path, answer);
  };
  route('/apis', discoveryHandler(groupVersions));
  for (const groupVersion of groupVersions) {
    const group = apiGroup(groupVersion.group, groupVersions) ?? {};
    route(`/apis/${groupVersion.group}`, (request, reply) => sendObject({ request, reply }, group));
    const list = apiResourceList(groupVersion);
    route(`/apis/${groupVersionOf(groupVersion)}`, (request, reply) => sendObject({ request, reply }, list));
  }
  addOpenApi(route, groupVersions, version);
  return paths;
}

function discoveryHandler(groupVersions: readonly GroupVersionResources[]) {
  const plain = apiGroupList(groupVersions);
  const aggregated = Object.fromEntries(
    (['v2', 'v2beta1'] as const).map((version) => [
      version,
      staticDocument(
        aggregatedDiscovery(groupVersions, version),
        // The aggregator believes a document only by these parameters; from others it falls back to the plain list.
        `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
      ),
    ]),
  );
  return async (request: FastifyRequest, reply: FastifyReply) => {
    const document = aggregated[negotiateDiscovery(acceptOf(request)) ?? ''];
    void reply.header('vary', 'Accept');
    if (!document) return sendObject({ request, reply }, plain);
    void reply.header('cache-control', 'public');
    return sendDocument({ request, reply }, document);
  };
}

type AddRoute = (path: string, answer: (request: FastifyRequest, reply: FastifyReply) => unknown) => void;

function addOpenApi(route: AddRoute, groupVersions: readonly GroupVersionResources[], version: string): void {
  const v2 = staticDocument(openApiV2(groupVersions, version));
  route('/openapi/v2', (request, reply) => {
    checkAcceptsJson(request);
    return sendDocument({ request, reply }, v2);
  });
  const v3 = groupVersions.map((groupVersion) => ({
    key: `apis/${groupVersionOf(groupVersion)}`,
    document: staticDocument(openApiV3(groupVersion, version)),
  }));
  // Only what is ours: other keys would be merged into the hub's and hide its own (contract 4.3).
  const index = staticDocument({
    paths: Object.fromEntries(
      v3.map(({ key, document }) => [key, { serverRelativeURL: `/openapi/v3/${key}?hash=${document.hash}` }]),
    ),
  });
  route('/openapi/v3', (request, reply) => sendDocument({ request, reply }, index));
  for (const { key, document } of v3) {
    route(`/openapi/v3/${key}`, (request, reply) => sendOpenApiV3({ request, reply }, document));
  }
}

/**
 * A wrong hash is answered with the document all the same: upstream redirects to the right one, which an aggregator
 * must not pass on and turns into 502.
 */
async function sendOpenApiV3(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  document: StaticDocument,
): Promise<FastifyReply> {
  checkAcceptsJson(request);
  if (queryOf(request).first('hash') === document.hash) {
    void reply.headers({
      'cache-control': 'public, immutable',
      expires: new Date(Date.now() + yearMs).toUTCString(),
    });
  }
  return sendDocument({ request, reply }, document);
}

function checkAcceptsJson(request: FastifyRequest): void {
  if (!acceptsJson(request)) throw notAcceptable(JSON_ONLY);
}
