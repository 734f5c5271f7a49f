import type { GroupVersionKind, KubeObject } from '../kube/object-meta.ts';
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
  readonly name: string;
  /** Of its options: what discovery shows as its kind. */
  readonly kind: GroupVersionKind;
  readonly description: string;
  readonly methods: readonly ConnectMethod[];
  /** Whether a path may follow its name. */
  readonly hasPath: boolean;
}

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
  /** Resources in namespaces are not offered yet. */
  readonly scope: 'Cluster';
  /** Of the whole object; apiVersion, kind and metadata are added where they are missing. */
  readonly schema: JsonSchema;
  /** The first is the name. */
  readonly columns: readonly ResourceColumn<T>[];
  readonly subresources?: readonly ConnectSubresource[];

  /** Undefined is answered with 404. */
  get?(name: string, context: ResourceContext): T | undefined | Promise<T | undefined>;
  /** All objects: selectors are applied by the runtime. Objects of one list are in a stable order. */
  list?(context: ResourceContext): ResourceList<T> | Promise<ResourceList<T>>;
  /**
   * What changes after `since`, or from now on where it is undefined, until the context's signal fires; a watchable
   * resource has a list, too. Throws a 410 StatusError, at once or while it is read, when it cannot tell everything
   * since then.
   */
  watch?(since: string | undefined, context: ResourceContext): AsyncIterable<WatchEvent<T>>;
}

/** A resource whose kind of object does not matter. */
export type AnyResource = Resource<KubeObject>;
