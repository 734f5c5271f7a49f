import type { KubeObject } from '../kube/object-meta.ts';
import type { QueryParameters } from '../kube/query.ts';
import { badRequest } from '../kube/status.ts';
import type { ListMeta, Table, TableColumnDefinition, TableRow } from '../kube/table.ts';
import type { AnyResource } from './resource.ts';

export type IncludeObject = 'None' | 'Metadata' | 'Object';

/** What a row carries besides its cells. Throws a 400 StatusError for an unknown value. */
export function includeObjectOf(query: QueryParameters): IncludeObject {
  const value = query.first('includeObject') ?? '';
  if (value === '') return 'Metadata';
  if (value === 'None' || value === 'Metadata' || value === 'Object') return value;
  throw badRequest(
    `Unable to convert to Table as requested: includeObject: Invalid value: ${JSON.stringify(value)}: must be 'Metadata', 'Object', 'None', or empty`,
  );
}

export interface TableOptions {
  readonly version: 'v1' | 'v1beta1';
  readonly includeObject: IncludeObject;
  /** In a watch the first event only has column definitions. */
  readonly withColumns: boolean;
}

/** Makes the cells of objects: what kubectl prints. */
export function toTable(
  resource: AnyResource,
  { objects, metadata }: { objects: readonly KubeObject[]; metadata: ListMeta },
  { version, includeObject, withColumns }: TableOptions,
): Table {
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${version}`,
    metadata,
    columnDefinitions: withColumns ? columnDefinitions(resource) : [],
    rows: objects.map((object): TableRow => {
      const cells = resource.columns.map((column) => column.cell(object));
      switch (includeObject) {
        case 'None':
          return { cells };
        case 'Object':
          return { cells, object };
        case 'Metadata':
          return { cells, object: toPartialObject(object, version) };
      }
    }),
  };
}

/** A bookmark has no object to show: one row of empty cells that carries the bookmark itself. */
export function bookmarkTable(
  resource: AnyResource,
  bookmark: KubeObject,
  { version, withColumns }: Omit<TableOptions, 'includeObject'>,
): Table {
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${version}`,
    metadata: { resourceVersion: bookmark.metadata.resourceVersion ?? '' },
    columnDefinitions: withColumns ? columnDefinitions(resource) : [],
    rows: [{ cells: resource.columns.map(() => null), object: toPartialObject(bookmark, version) }],
  };
}

function columnDefinitions({ columns }: AnyResource): TableColumnDefinition[] {
  return columns.map(({ name, type, format = '', description, priority }) => ({
    name,
    type,
    format,
    description,
    priority,
  }));
}

/** metav1.PartialObjectMetadata: an object of any kind without its own fields. */
export function toPartialObject({ metadata }: KubeObject, version: 'v1' | 'v1beta1'): KubeObject {
  return { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${version}`, metadata };
}
