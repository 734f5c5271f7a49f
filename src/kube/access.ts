import type { UserInfo } from './user-info.ts';

/** authorization.k8s.io/v1 FieldSelectorAttributes: all requirements hold for what is asked about. */
export interface FieldSelectorAttributes {
  readonly requirements: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn';
    readonly values: readonly string[];
  }[];
}

/** authorization.k8s.io/v1 LabelSelectorAttributes. */
export interface LabelSelectorAttributes {
  readonly requirements: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
}

/** authorization.k8s.io/v1 ResourceAttributes: what a request wants to do to a resource. */
export interface ResourceAttributes {
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly fieldSelector?: FieldSelectorAttributes;
  readonly labelSelector?: LabelSelectorAttributes;
}

/** authorization.k8s.io/v1 NonResourceAttributes. `verb` is the lower-case HTTP method. */
export interface NonResourceAttributes {
  readonly verb: string;
  readonly path: string;
}

export type AccessAttributes =
  | { readonly type: 'resource'; readonly resource: ResourceAttributes }
  | { readonly type: 'non-resource'; readonly nonResource: NonResourceAttributes };

export interface AccessRequest {
  readonly user: UserInfo;
  readonly attributes: AccessAttributes;
}

/** `reason` is the authorizer's text for people; it may be empty. */
export interface AccessDecision {
  readonly allowed: boolean;
  readonly reason: string;
}
