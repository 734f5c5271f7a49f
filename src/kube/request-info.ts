/** What a request is about, as kube-apiserver's RequestInfoResolver computes it from method and path. */
export interface RequestInfo {
  readonly isResourceRequest: boolean;
  /** The decoded path, without query. */
  readonly path: string;
  /** get, list, watch, create, update, patch, delete, deletecollection, or the lower-case method of a non-resource request. */
  readonly verb: string;
  readonly apiPrefix: string;
  readonly apiGroup: string;
  readonly apiVersion: string;
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  /** Path segments from the resource on: resource, name, subresource, rest…. Empty segments are kept. */
  readonly parts: readonly string[];
}
