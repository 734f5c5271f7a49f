import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import type { Readable } from 'node:stream';
import { afterEach } from 'vitest';
import { silentLog } from '../../base/log.ts';
import { SpreadEnds } from '../../base/spread-ends.ts';
import type { KubeObject } from '../../kube/object-meta.ts';
import { requestInfo } from '../../kube/request-info.ts';
import type { UserInfo } from '../../kube/user-info.ts';
import { attachRequestContext } from '../request-context.ts';
import type { ResourceApi, ResourceApiOptions } from '../resource-api.ts';
import { createResourceApi } from '../resource-api.ts';
import type { Resource } from '../resource.ts';
import { respondStatus, statusErrorOf } from '../status-response.ts';
import type { WatchCacheOptions } from '../watch-cache.ts';
import { WatchCache } from '../watch-cache.ts';
import type { Answer, CallOptions } from './served.ts';
import { callHttp1, callHttp2, serve } from './served.ts';

export const GROUP = '/apis/example.dev/v1';
export const WIDGETS = `${GROUP}/widgets`;

export interface Widget extends KubeObject {
  readonly spec: { readonly size: number; readonly text?: string };
}

export const widget = (name: string, size = 1, labels?: Record<string, string>): Widget => ({
  apiVersion: 'example.dev/v1',
  kind: 'Widget',
  metadata: { name, ...(labels ? { labels } : {}) },
  spec: { size },
});

export function widgetResource(cache: WatchCache<Widget>): Resource<Widget> {
  return {
    group: 'example.dev',
    version: 'v1',
    kind: 'Widget',
    plural: 'widgets',
    singular: 'widget',
    shortNames: ['wd'],
    categories: ['all'],
    scope: 'Cluster',
    schema: {
      type: 'object',
      description: 'A widget of some size.',
      properties: {
        spec: {
          type: 'object',
          description: 'What is wanted.',
          properties: { size: { type: 'integer', format: 'int32', description: 'How large it is.' } },
        },
      },
    },
    columns: [
      {
        ...{ name: 'Name', type: 'string', format: 'name', description: 'Its name.', priority: 0 },
        cell: (object) => object.metadata.name,
      },
      {
        ...{ name: 'Size', type: 'integer', description: 'Its size.', priority: 1 },
        cell: (object) => object.spec.size,
      },
    ],
    subresources: [
      {
        type: 'connect',
        name: 'tunnel',
        kind: { group: 'example.dev', version: 'v1', kind: 'WidgetTunnelOptions' },
        description: 'connect to a widget',
        methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'],
        hasPath: true,
      },
    ],
    get: (name) => cache.get(name),
    list: () => cache.list(),
    watch: (since, { signal }) => cache.events(since, signal),
  };
}

/** A resource that offers nothing but its objects by name. */
export const gadgetResource: Resource<KubeObject> = {
  group: 'example.dev',
  version: 'v1',
  kind: 'Gadget',
  plural: 'gadgets',
  singular: 'gadget',
  scope: 'Cluster',
  schema: { type: 'object', description: 'A gadget.' },
  columns: [
    {
      ...{ name: 'Name', type: 'string', format: 'name', description: 'Its name.', priority: 0 },
      cell: (object) => object.metadata.name,
    },
  ],
  get: (name) => {
    if (name === 'broken') throw new Error('the secret of the gadget');
    return name === 'one' ? { apiVersion: 'example.dev/v1', kind: 'Gadget', metadata: { name } } : undefined;
  },
};

/** Listed, and not watched. */
export const listOnlyResource: Resource<KubeObject> = {
  ...gadgetResource,
  kind: 'Doodad',
  plural: 'doodads',
  singular: 'doodad',
  list: () => ({ items: [], resourceVersion: '7' }),
};

const user: UserInfo = { name: 'jane', groups: ['system:authenticated'] };

export interface WidgetServer {
  readonly port: number;
  readonly api: ResourceApi;
  readonly cache: WatchCache<Widget>;
  readonly streams: SpreadEnds;
}

const apis: ResourceApi[] = [];
afterEach(async () => {
  for (const api of apis.splice(0)) await api.close();
});

/** The resource API behind a real listener of ours. */
export async function serveWidgets(
  options: Partial<ResourceApiOptions> & { cache?: WatchCacheOptions } = {},
): Promise<WidgetServer> {
  const cache = new WatchCache<Widget>(options.cache);
  const streams = new SpreadEnds();
  const api = await createResourceApi({
    resources: [widgetResource(cache), gadgetResource, listOnlyResource],
    log: silentLog,
    streams,
    ...options,
  });
  apis.push(api);
  const port = await serve((exchange) => {
    try {
      const info = requestInfo(exchange.method, exchange.target);
      const { request, response } = exchange.nodePair();
      const { body, signal } = exchange;
      attachRequestContext(request, { user, requestInfo: info, auditId: 'audit-1', body, signal });
      api.handle(request, response);
    } catch (error) {
      respondStatus(exchange, statusErrorOf(error).status);
    }
  });
  return { port, api, cache, streams };
}

export type Protocol = 'HTTP/1.1' | 'HTTP/2';
export const protocols: readonly Protocol[] = ['HTTP/1.1', 'HTTP/2'];

export const call = (protocol: Protocol, port: number, options: CallOptions): Promise<Answer> =>
  (protocol === 'HTTP/2' ? callHttp2 : callHttp1)(port, options);

export interface OpenWatch {
  readonly status: number;
  readonly headers: http2.IncomingHttpHeaders;
  /** The next event; undefined at the end. */
  next(): Promise<WatchLine | undefined>;
  /** Goes away without a word. */
  abort(): void;
  readonly body: Readable;
}

export interface WatchLine {
  readonly type: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into answers of many shapes
  readonly object: any;
}

/** Opens a watch and gives it back as soon as its headers are there. */
export async function watch(protocol: Protocol, port: number, options: CallOptions): Promise<OpenWatch> {
  const opened = protocol === 'HTTP/2' ? await open2(port, options) : await open1(port, options);
  const lines = linesOf(opened.body);
  return {
    ...opened,
    next: async () => {
      const { value, done } = await lines.next();
      return done ? undefined : (JSON.parse(value) as WatchLine);
    },
  };
}

async function open1(port: number, options: CallOptions) {
  const request = https.request({
    ...{ host: '127.0.0.1', port, rejectUnauthorized: false, agent: false, path: options.path },
    headers: (options.headers ?? {}) as Record<string, string>,
  });
  request.on('error', () => {});
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  const { statusCode = 0, headers } = response;
  return { status: statusCode, headers, body: response as Readable, abort: () => void request.destroy() };
}

async function open2(port: number, options: CallOptions) {
  const session = http2.connect(`https://localhost:${port}`, { rejectUnauthorized: false });
  session.on('error', () => {});
  const stream = session.request({
    ':path': options.path ?? '/',
    ...(options.headers as Record<string, string>),
  });
  stream.on('error', () => {});
  stream.once('close', () => session.destroy());
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  const abort = () => stream.close(http2.constants.NGHTTP2_CANCEL);
  return { status: Number(headers[':status']), headers, body: stream as Readable, abort };
}

async function* linesOf(body: Readable): AsyncGenerator<string, undefined> {
  let rest = '';
  for await (const chunk of body) {
    const parts = (rest + String(chunk)).split('\n');
    rest = parts.pop() ?? '';
    yield* parts;
  }
  if (rest !== '') yield rest;
  return undefined;
}
