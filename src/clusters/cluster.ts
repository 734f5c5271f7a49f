import type { Redacted } from '../base/redacted.ts';
import type { IdentityRules } from './identity-rules.ts';
import type { Validity } from './validity.ts';

export const CREDENTIAL_TYPE_LABEL = 'cluster.core.oam.dev/cluster-credential-type';
export const ENDPOINT_TYPE_LABEL = 'cluster.core.oam.dev/cluster-endpoint-type';
export const HEALTHY_ANNOTATION = 'status.cluster.core.oam.dev/healthy';
export const HEALTHY_REASON_ANNOTATION = 'status.cluster.core.oam.dev/healthy-reason';
export const ALIAS_ANNOTATION = 'cluster.core.oam.dev/cluster-alias';

/** The name that stands for the hub itself: no cluster can be registered under it. */
export const LOCAL_CLUSTER = 'local';

/** How a cluster's certificate is judged. `none`: the Secret has no CA, and the connection is not verified. */
export type ServerTrust =
  | {
      readonly type: 'ca';
      readonly caPem: string;
      /** Of the CA that lasts longest. */
      readonly validity?: Validity;
    }
  | { readonly type: 'system' }
  | { readonly type: 'none' };

/** One address of a cluster's API servers. */
export interface EndpointAddress {
  readonly host: string;
  readonly port: number;
  /** What goes into Host and :authority: the cluster's own host[:port], never the hub's. */
  readonly authority: string;
}

/**
 * How a cluster is reached: at fixed addresses, or through a tunnel, where its name is the address: which agent is asked,
 * and what the agent connects to.
 */
export type EndpointType = 'Const' | 'ClusterProxy';

/** Where a cluster's API server is; the address itself is the first where there are several. */
export interface Endpoint extends EndpointAddress {
  readonly type: EndpointType;
  /** As the Secret has it, without a trailing line end, or several between commas: for people. */
  readonly url: string;
  /** Further addresses of the same cluster, any of which may be asked; undefined where there is one. */
  readonly others?: readonly EndpointAddress[];
  /** The path below which the API is served, without a trailing slash; usually empty. */
  readonly basePath: string;
  readonly trust: ServerTrust;
  /** What the certificate is for, where that is not the host. */
  readonly serverName?: string;
  /** An egress proxy (http, https or socks5 URL); it may hold a password. */
  readonly proxyUrl?: Redacted<string>;
}

/** A command that prints an ExecCredential (client.authentication.k8s.io). */
export interface ExecConfig {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly provideClusterInfo: boolean;
}

export type Credential =
  | {
      readonly type: 'ServiceAccountToken';
      readonly authorization: Redacted<string>;
      /** As the token says of itself, where it does. */
      readonly validity?: Validity;
    }
  | {
      readonly type: 'X509Certificate';
      readonly certificatePem: string;
      readonly privateKeyPem: Redacted<string>;
      readonly validity?: Validity;
    }
  | { readonly type: 'Dynamic'; readonly exec: Redacted<ExecConfig>; readonly fingerprint: string };

/** What the last health check found. */
export interface ClusterHealth {
  readonly healthy: boolean;
  /** For people; empty where there is none. */
  readonly reason: string;
}

/** What is known of a registered cluster, whether it can be used or not. */
export interface ClusterFacts {
  readonly name: string;
  /** Another name, for people; empty where there is none. */
  readonly alias: string;
  readonly creationTimestamp: string | undefined;
  readonly resourceVersion: string;
  /** Labels that are the user's own. */
  readonly labels: Readonly<Record<string, string>>;
  /** As written; may be a value that nobody knows. */
  readonly credentialType: string;
  readonly endpointType: string;
  /** Whether the type of the endpoint is written down, or is the default. */
  readonly hasEndpointType: boolean;
  /** As the endpoint is written, for people; undefined when there is none, or none that may be shown. */
  readonly endpointUrl: string | undefined;
  readonly health: ClusterHealth | undefined;
}

export interface Cluster extends ClusterFacts {
  readonly type: 'accepted';
  readonly endpoint: Endpoint;
  readonly credential: Credential;
  /** Of endpoint and TLS material only: a new label, health note or token keeps the connections. */
  readonly accessFingerprint: string;
  /** The cluster's own rules of who callers are there; undefined where it has none. */
  readonly identityRules?: IdentityRules;
}

/** A Secret that says it is a cluster, but cannot be used as one: shown with its reason, answers 503. */
export interface RejectedCluster extends ClusterFacts {
  readonly type: 'rejected';
  /** CamelCase, for a condition. */
  readonly reason: string;
  /** For people; never a secret value. */
  readonly message: string;
}

export type ClusterRecord = Cluster | RejectedCluster;
