/** The part of metav1.ObjectMeta that this program reads or writes. */
export interface ObjectMeta {
  readonly name: string;
  /** Of an object that is to be made: the server ends it to a name. */
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid?: string;
  /** Opaque, but comparable for equality. */
  readonly resourceVersion?: string;
  readonly generation?: number;
  /** RFC 3339. */
  readonly creationTimestamp?: string | null;
  readonly deletionTimestamp?: string;
  /** Who must agree before a deleted object goes. */
  readonly finalizers?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}
