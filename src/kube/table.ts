/** metav1.TableColumnDefinition. Columns with a priority above 0 show in wide output only. */
export interface TableColumnDefinition {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
}

export type TableCell = string | number | boolean | null;

export interface TableRow {
  readonly cells: readonly TableCell[];
  readonly object?: object;
}

/** metav1.ListMeta, as far as this program gives it. */
export interface ListMeta {
  readonly resourceVersion?: string;
  readonly continue?: string;
  /** How many objects are left; told where nothing was selected. */
  readonly remainingItemCount?: number;
}

/** metav1.Table: rows of cells that a server made, so that kubectl need not know the kind. */
export interface Table {
  readonly kind: 'Table';
  readonly apiVersion: `meta.k8s.io/${string}`;
  readonly metadata: ListMeta;
  readonly columnDefinitions: readonly TableColumnDefinition[];
  readonly rows: readonly TableRow[];
}
