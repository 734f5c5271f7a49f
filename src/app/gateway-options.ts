import type { SniCertificateFiles } from './go-values.ts';
import type { InFlightLimits } from '../apiserver/in-flight.ts';
import type { ImpersonationLimits } from '../proxy/impersonation-lines.ts';

/** A tunnel server in the gateway's own process, which agents connect to. */
export interface InsideTunnelServer {
  readonly type: 'inside';
  readonly host: string;
  readonly port: number;
  readonly certificates: {
    readonly certificateFile: string;
    readonly keyFile: string;
    readonly clientCaFile: string;
  };
  readonly identifierRule: 'any' | 'certificate';
  /** Gateways that have one: agents connect to so many. */
  readonly serverCount: number;
}

/** The way to clusters behind a tunnel. */
export interface TunnelOptions {
  readonly mode: 'grpc' | 'http-connect';
  readonly server:
    | {
        readonly type: 'tcp';
        readonly host: string;
        readonly port: number;
        readonly caFile: string;
        readonly certificateFile: string;
        readonly keyFile: string;
      }
    | { readonly type: 'unix'; readonly path: string }
    | InsideTunnelServer;
  /** Clusters whose Secret has no CA are taken all the same. */
  readonly allowUnverified: boolean;
}

/** Everything that can be set for the gateway, complete and checked. Durations are milliseconds. */
export interface GatewayOptions {
  readonly bindAddress: string;
  readonly securePort: number;
  readonly certDirectory: string;
  readonly tlsCertFile: string | undefined;
  readonly tlsPrivateKeyFile: string | undefined;
  readonly tlsMinVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly tlsCipherSuites: readonly string[];
  /** In the order of the command line. */
  readonly tlsSniCertificates: readonly SniCertificateFiles[];
  readonly disableHttp2: boolean;
  readonly maxStreamsPerConnection: number;
  /** 0 to 0.02. */
  readonly goawayChance: number;
  readonly kubeconfig: string | undefined;
  readonly authenticationKubeconfig: string | undefined;
  readonly authorizationKubeconfig: string | undefined;
  readonly skipAuthenticationLookup: boolean;
  readonly tolerateAuthenticationLookupFailure: boolean;
  readonly tokenCacheTtlMs: number;
  readonly apiAudiences: readonly string[];
  readonly clientCaFile: string | undefined;
  readonly requestHeader: {
    readonly clientCaFile: string | undefined;
    readonly allowedNames: readonly string[];
    readonly usernameHeaders: readonly string[];
    readonly groupHeaders: readonly string[];
    readonly extraHeaderPrefixes: readonly string[];
    readonly uidHeaders: readonly string[];
  };
  readonly alwaysAllowPaths: readonly string[];
  readonly allowCacheTtlMs: number;
  readonly denyCacheTtlMs: number;
  readonly secretNamespace: string;
  readonly requireClusterCa: boolean;
  readonly execPluginAllowlist: readonly string[];
  /** Callers need the right to the path inside the cluster, too. */
  readonly authorizeProxySubpath: boolean;
  readonly requireCreateForUpgrade: boolean;
  /** Rules of `denyAddresses`; empty: none are denied. */
  readonly deniedEndpointAddresses: readonly string[];
  /** Undefined: there is none. */
  readonly tunnel: TunnelOptions | undefined;
  readonly identity: ImpersonationLimits & {
    /** A ClusterGatewayProxyConfiguration for all clusters. */
    readonly rulesFile: string | undefined;
  };
  readonly userAgent: string;
  readonly featureGates: ReadonlyMap<string, boolean>;
  readonly inFlight: InFlightLimits;
  /** Above 0 up to 1. */
  readonly inFlightShare: number;
  /** Above 0 up to 1. */
  readonly inFlightShareOfCluster: number;
  readonly requestTimeoutMs: number;
  /** Of watches that name no time; they last up to twice as long. */
  readonly minRequestTimeoutMs: number;
  readonly audit: {
    readonly policyFile: string | undefined;
    /** `-` is standard output; undefined: nothing is audited. */
    readonly logPath: string | undefined;
    readonly maxAgeDays: number;
    readonly maxBackups: number;
    readonly maxBytes: number;
    readonly compress: boolean;
  };
  readonly shutdownDelayMs: number;
  readonly shutdownGraceMs: number;
  readonly shutdownSendRetryAfter: boolean;
  /** Over which the ends of many watches are spread, within the grace. */
  readonly shutdownWatchSpreadMs: number;
  readonly verbosity: number;
}
