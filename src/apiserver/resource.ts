import type { GroupVersionKind, KubeObject } from '../kube/object-meta.ts';
import type { FieldCause } from '../kube/status.ts';
import type { TableCell } from '../kube/table.ts';
import type { UserInfo } from '../kube/user-info.ts';
import type { WatchEvent } from '../kube/watch-event.ts';

/** An OpenAPI v3 schema object: plain JSON. References are to `#/components/schemas/…`. */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
}

export interface ResourceColumn<T extends KubeObject> {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  /** `name` marks the column that names the object: clients must show it. */
  readonly format?: string;
  readonly description: string;
  /** Columns above 0 show in wide output only. */
  readonly priority: number;
  cell(object: T): TableCell;
}

/** Who asks, and until when. */
export interface ResourceContext {
  readonly user: UserInfo;
  readonly auditId: string;
  /** Empty for a resource of the cluster, and for all namespaces. */
  readonly namespace: string;
  /** Fires when the caller goes away, the request's time is over, or the server ends. */
  readonly signal: AbortSignal;
}

/** What a write is made with. */
export interface WriteContext extends ResourceContext {
  /** `?dryRun=All`: everything is checked and answered as ever, and nothing is kept. */
  readonly dryRun: boolean;
  /** Who manages the written fields, as the caller named itself; empty where it did not. */
  readonly fieldManager: string;
}

/** metav1.DeleteOptions, read and checked. */
export interface DeleteRequest {
  /** The object must still be this one, in this state; otherwise 409. */
  readonly preconditions: { readonly uid?: string; readonly resourceVersion?: string };
  readonly gracePeriodSeconds: number | undefined;
  readonly propagationPolicy: string | undefined;
}

export interface ResourceList<T extends KubeObject> {
  readonly items: readonly T[];
  /** A decimal; the state of the list. Newer states have greater ones. */
  readonly resourceVersion: string;
}

export type ConnectMethod = 'DELETE' | 'GET' | 'HEAD' | 'OPTIONS' | 'PATCH' | 'POST' | 'PUT';

/**
 * A subresource that carries streams, as pods/exec and services/proxy do. It is described here, for discovery and
 * OpenAPI; another engine answers it.
 */
export interface ConnectSubresource {
  readonly type: 'connect';
  readonly name: string;
  /** Of its options: what discovery shows as its kind. */
  readonly kind: GroupVersionKind;
  readonly description: string;
  readonly methods: readonly ConnectMethod[];
  /** Whether a path may follow its name. */
  readonly hasPath: boolean;
}

/**
 * A part of an object that is read and written apart, as status and scale are. Patches are offered where it has get
 * and update: the runtime makes them of both.
 */
export interface ObjectSubresource<T extends KubeObject> {
  readonly type: 'object';
  readonly name: string;
  readonly description: string;
  /** Undefined is answered with 404. */
  get(name: string, context: ResourceContext): T | undefined | Promise<T | undefined>;
  /** As the resource's own {@link Resource.update}. */
  update?(object: T, context: WriteContext): T | Promise<T>;
}

export type Subresource<T extends KubeObject> = ConnectSubresource | ObjectSubresource<T>;

/**
 * One kind of object that the API offers. What is present decides everything else: discovery, OpenAPI, verbs, and 405
 * for the verbs that are not. A new resource is one file that makes one of these.
 *
 * @example
 * const widgets: Resource<Widget> = {
 *   group: 'example.dev', version: 'v1', kind: 'Widget', plural: 'widgets', singular: 'widget', scope: 'Cluster',
 *   schema: { type: 'object', description: 'A widget.', properties: { spec: { type: 'object' } } },
 *   columns: [{ name: 'Name', type: 'string', format: 'name', description: 'Its name.', priority: 0, cell: (w) => w.metadata.name }],
 *   get: (name) => cache.get(name),
 *   list: () => cache.list(),
 *   listAt: (version) => cache.listAt(version),
 *   watch: (since, { signal }) => cache.events(since, signal),
 * };
 */
export interface Resource<T extends KubeObject> {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly scope: 'Cluster' | 'Namespaced';
  /** Of the whole object; apiVersion, kind and metadata are added where they are missing. */
  readonly schema: JsonSchema;
  /** The first is the name. */
  readonly columns: readonly ResourceColumn<T>[];
  readonly subresources?: readonly Subresource<T>[];

  /** Undefined is answered with 404. */
  get?(name: string, context: ResourceContext): T | undefined | Promise<T | undefined>;
  /** All objects: selectors are applied by the runtime. In the order of namespace and name, pages cost least. */
  list?(context: ResourceContext): ResourceList<T> | Promise<ResourceList<T>>;
  /**
   * The list as it was at an earlier version; undefined where that is no longer known. Without it a list of several
   * pages expires as soon as anything changes.
   */
  listAt?(
    resourceVersion: string,
    context: ResourceContext,
  ): ResourceList<T> | undefined | Promise<ResourceList<T> | undefined>;
  /**
   * What changes after `since`, or from now on where it is undefined, until the context's signal fires; a watchable
   * resource has a list, too. Throws a 410 StatusError, at once or while it is read, when it cannot tell everything
   * since then.
   */
  watch?(since: string | undefined, context: ResourceContext): AsyncIterable<WatchEvent<T>>;

  /** What is wrong with an object that is to be written, beyond its schema; answered with 422. */
  validate?(object: T, previous: T | undefined): readonly FieldCause[];
  /** Keeps a new object and gives it as it was kept. Throws AlreadyExists (409). */
  create?(object: T, context: WriteContext): T | Promise<T>;
  /**
   * Takes the place of an existing object. Where the object carries a resource version, it must be the present one:
   * throws Conflict (409) otherwise, NotFound (404) where there is none. Patches are made of get and update.
   */
  update?(object: T, context: WriteContext): T | Promise<T>;
  /** Gives the object as it was last. Throws Conflict (409) where the preconditions do not hold, NotFound (404). */
  delete?(name: string, request: DeleteRequest, context: WriteContext): T | Promise<T>;
}

/** A resource whose kind of object does not matter. */
export type AnyResource = Resource<KubeObject>;
