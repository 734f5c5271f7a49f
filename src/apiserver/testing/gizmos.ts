import type { KubeObject } from '../../kube/object-meta.ts';
import { alreadyExists, conflict, fieldInvalid, modified, notFound } from '../../kube/status.ts';
import type { DeleteRequest, JsonSchema, Resource, WriteContext } from '../resource.ts';
import { WatchCache } from '../watch-cache.ts';
import type { Answer, CallOptions } from './served.ts';
import type { Protocol } from './widgets.ts';
import { GROUP, call, serveWidgets } from './widgets.ts';

/** A widget that callers may write. */
export interface Gizmo extends KubeObject {
  readonly spec: {
    readonly size: number;
    readonly colour?: string;
    readonly parts?: readonly { readonly name: string; readonly count?: number }[];
    readonly settings?: Readonly<Record<string, string>>;
  };
  readonly status?: { readonly phase?: string };
}

const name = { group: 'example.dev', resource: 'gizmos' };

const gizmoSchema: JsonSchema = {
  type: 'object',
  description: 'A gizmo is made of parts.',
  required: ['spec'],
  properties: {
    spec: {
      type: 'object',
      description: 'What is wanted.',
      required: ['size'],
      properties: {
        size: { type: 'integer', format: 'int32', minimum: 0, description: 'How large it is.' },
        colour: { type: 'string', enum: ['red', 'blue'], description: 'Its colour.' },
        parts: {
          type: 'array',
          description: 'What it is made of.',
          items: {
            type: 'object',
            required: ['name'],
            properties: {
              name: { type: 'string', description: 'Of the part.' },
              count: { type: 'integer', description: 'How many.' },
            },
          },
        },
        settings: { type: 'object', additionalProperties: { type: 'string' }, description: 'By key.' },
      },
    },
    status: {
      type: 'object',
      description: 'What is there.',
      properties: { phase: { type: 'string', description: 'Ready or not.' } },
    },
  },
};

type Writes = Required<Pick<Resource<Gizmo>, 'create' | 'delete' | 'update'>>;

/** Gizmos in a cache. One with finalizers is marked when it is deleted, and goes when they are gone. */
class GizmoStore implements Writes {
  readonly #cache: WatchCache<Gizmo>;

  constructor(cache: WatchCache<Gizmo>) {
    this.#cache = cache;
  }

  get(key: string, { namespace }: Pick<WriteContext, 'namespace'>): Gizmo | undefined {
    return this.#cache.get(key, namespace === '' ? undefined : namespace);
  }

  create(object: Gizmo, context: WriteContext): Gizmo {
    const { metadata } = object;
    if (this.get(metadata.name, context)) throw alreadyExists(name, metadata.name);
    return this.#keep(object, context);
  }

  update(object: Gizmo, context: WriteContext): Gizmo {
    const known = this.#checked(object, context);
    const changed = { ...unversioned(object), ...(known.status ? { status: known.status } : {}) };
    const { deletionTimestamp, finalizers = [] } = changed.metadata;
    const isGone = deletionTimestamp !== undefined && finalizers.length === 0;
    return isGone ? this.#remove(changed, context) : this.#keep(changed, context);
  }

  updateStatus(object: Gizmo, context: WriteContext): Gizmo {
    const known = this.#checked(object, context);
    return this.#keep(
      { ...unversioned(known), ...(object.status ? { status: object.status } : {}) },
      context,
    );
  }

  delete(key: string, { preconditions }: DeleteRequest, context: WriteContext): Gizmo {
    const known = this.#present(key, context);
    const { uid, resourceVersion } = preconditions;
    if (uid !== undefined && uid !== known.metadata.uid) throw conflict(name, key, 'another UID');
    if (resourceVersion !== undefined && resourceVersion !== known.metadata.resourceVersion)
      throw conflict(name, key, 'another ResourceVersion');
    if ((known.metadata.finalizers ?? []).length === 0) return this.#remove(known, context);
    const { metadata } = unversioned(known);
    const deletionTimestamp = known.metadata.deletionTimestamp ?? new Date().toISOString();
    return this.#keep({ ...known, metadata: { ...metadata, deletionTimestamp } }, context);
  }

  #present(key: string, context: WriteContext): Gizmo {
    const found = this.get(key, context);
    if (!found) throw notFound(name, key);
    return found;
  }

  #checked(object: Gizmo, context: WriteContext): Gizmo {
    const known = this.#present(object.metadata.name, context);
    const { resourceVersion } = object.metadata;
    if (resourceVersion !== undefined && resourceVersion !== known.metadata.resourceVersion)
      throw modified(name, object.metadata.name);
    return known;
  }

  #keep(object: Gizmo, context: WriteContext): Gizmo {
    if (context.dryRun) return object;
    this.#cache.upsert(object);
    return this.#present(object.metadata.name, context);
  }

  #remove(object: Gizmo, { namespace, dryRun }: WriteContext): Gizmo {
    if (!dryRun) this.#cache.remove(object.metadata.name, namespace === '' ? {} : { namespace });
    return object;
  }
}

function unversioned(object: Gizmo): Gizmo {
  const entries = Object.entries(object.metadata).filter(([field]) => field !== 'resourceVersion');
  return { ...object, metadata: Object.fromEntries(entries) as unknown as Gizmo['metadata'] };
}

/** A resource with all verbs: what nobody but the tests makes gets everything that the runtime has. */
export function gizmoResource(
  cache: WatchCache<Gizmo>,
  scope: 'Cluster' | 'Namespaced' = 'Namespaced',
): Resource<Gizmo> {
  const store = new GizmoStore(cache);
  return {
    ...{ group: 'example.dev', version: 'v1', kind: 'Gizmo', plural: 'gizmos', singular: 'gizmo' },
    shortNames: ['gz'],
    scope,
    schema: gizmoSchema,
    columns: [
      {
        ...{ name: 'Name', type: 'string', format: 'name', description: 'Its name.', priority: 0 },
        cell: (object) => object.metadata.name,
      },
      {
        ...{ name: 'Size', type: 'integer', description: 'Its size.', priority: 0 },
        cell: (object) => object.spec.size,
      },
    ],
    subresources: [
      {
        ...{ type: 'object', name: 'status', description: 'What is there.' },
        get: (key, context) => store.get(key, context),
        update: (object, context) => store.updateStatus(object, context),
      },
    ],
    get: (key, context) => store.get(key, context),
    list: () => cache.list(),
    listAt: (version) => cache.listAt(version),
    watch: (since, { signal }) => cache.events(since, signal),
    validate: (object, previous) =>
      previous && previous.spec.size > object.spec.size
        ? [fieldInvalid('spec.size', object.spec.size, 'may not shrink')]
        : [],
    create: (object, context) => store.create(object, context),
    update: (object, context) => store.update(object, context),
    delete: (key, request, context) => store.delete(key, request, context),
  };
}

export const GIZMOS = `${GROUP}/namespaces/ns/gizmos`;

export const gizmo = (key: string, spec: Partial<Gizmo['spec']> = {}): Gizmo => ({
  apiVersion: 'example.dev/v1',
  kind: 'Gizmo',
  metadata: { name: key, namespace: 'ns' },
  spec: { size: 1, ...spec },
});

export interface Asked extends Omit<CallOptions, 'payload'> {
  /** Sent as JSON where it is no text. */
  readonly body?: unknown;
  readonly type?: string;
}

export interface Answered extends Omit<Answer, 'body'> {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into answers of many shapes
  readonly body: any;
}

/** Gizmos behind a real listener, and a way to ask for them. */
export async function serveGizmos(protocol: Protocol, scope: 'Cluster' | 'Namespaced' = 'Namespaced') {
  const gizmos = new WatchCache<Gizmo>();
  const resource = gizmoResource(gizmos, scope);
  const server = await serveWidgets({ resources: [resource] });
  const ask = async (method: string, path: string, asked: Asked = {}): Promise<Answered> => {
    const { body, type, ...options } = asked;
    const answer = await call(protocol, server.port, {
      ...options,
      method,
      path,
      headers: { ...(type === undefined ? {} : { 'content-type': type }), ...options.headers },
      ...(body === undefined
        ? {}
        : { payload: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body) }),
    });
    return { ...answer, body: JSON.parse(answer.body) as unknown };
  };
  return { ...server, gizmos, resource, ask };
}

/** As {@link serveGizmos}, with one gizmo `a` in the namespace `ns`, of resource version 2. */
export async function serveGizmoA(protocol: Protocol) {
  const server = await serveGizmos(protocol);
  server.gizmos.upsert({
    ...gizmo('a', { colour: 'red' }),
    metadata: { name: 'a', namespace: 'ns', uid: 'u-a', creationTimestamp: '2026-01-01T00:00:00Z' },
  });
  return server;
}
