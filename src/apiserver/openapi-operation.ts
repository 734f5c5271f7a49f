import type { GroupVersionKind } from '../kube/object-meta.ts';
import type { AnyResource } from './resource.ts';

export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path';
  readonly type: 'string' | 'integer' | 'boolean';
  readonly description: string;
}

/** One operation of the API, in neither version of OpenAPI: both documents are written from it. */
export interface Operation {
  readonly path: string;
  readonly method: string;
  readonly id: string;
  readonly description: string;
  readonly action?: string;
  readonly kind?: GroupVersionKind;
  readonly parameters: readonly Parameter[];
  /** Name of the answer's schema; undefined for a stream of anything. */
  readonly answer: string | undefined;
  readonly mediaTypes: readonly string[];
  /** Of the answers with an object; default 200. */
  readonly codes?: readonly ('200' | '201' | '202')[];
  readonly body?: {
    readonly schema: string;
    readonly mediaTypes: readonly string[];
    readonly required: boolean;
  };
}

/** `dev.oam.core.cluster.v1alpha1.ClusterGateway`, as the definitions of custom resources are named. */
export const definitionName = ({ group, version, kind }: GroupVersionKind) =>
  [...group.split('.').reverse(), version, kind].join('.');

/** `ClusterCoreOamDevV1alpha1`: what makes an operation's id unique in a hub's merged document. */
export const idInfix = ({ group, version }: { group: string; version: string }) =>
  [...group.split(/[.-]/), version].map(capitalize).join('');

export const capitalize = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);

export const query = (name: string, type: Parameter['type'], description: string): Parameter => ({
  name,
  in: 'query',
  type,
  description,
});

/** Which objects of a place are meant. */
export const selectionParameters: readonly Parameter[] = [
  query('continue', 'string', 'Where the next part of a list begins.'),
  query('fieldSelector', 'string', 'Only objects with these fields: metadata.name and metadata.namespace.'),
  query('labelSelector', 'string', 'Only objects with these labels.'),
  query('limit', 'integer', 'How many objects to answer with at most; the server may answer with more.'),
];

export const nameParameter: Parameter = {
  name: 'name',
  in: 'path',
  type: 'string',
  description: 'The name of the object.',
};
export const pretty = query('pretty', 'string', 'Any true value indents the output.');

const namespaceParameter: Parameter = {
  name: 'namespace',
  in: 'path',
  type: 'string',
  description: 'The namespace of the object.',
};

/** `Namespaced` in the ids of operations inside a namespace, and the parameter that they have in their path. */
export const namespaceOf = ({ scope }: AnyResource): { infix: string; parameters: readonly Parameter[] } =>
  scope === 'Namespaced'
    ? { infix: 'Namespaced', parameters: [namespaceParameter] }
    : { infix: '', parameters: [] };

export const objectTypes = ['application/json', 'application/yaml'];

export const kindOf = ({ group, version, kind }: GroupVersionKind): GroupVersionKind => ({
  group,
  version,
  kind,
});
