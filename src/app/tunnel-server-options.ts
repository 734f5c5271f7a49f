import type { Strategy } from '../tunnel/server/agent-table.ts';
import type { ListenAddress } from '../tunnel/stream-listener.ts';

/** PEM files of one port. */
export interface PortCertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Clients must have a certificate that it signed; undefined: they need none. */
  readonly clientCaFile: string | undefined;
}

/** The service account whose token makes an agent. */
export interface AgentTokenOptions {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly audience: string;
}

export interface ServerAddress {
  /** Empty: every address of the machine. */
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
}

export interface FrontendPortOptions {
  readonly mode: 'grpc' | 'http-connect';
  readonly address: ListenAddress;
  /** Undefined: a Unix socket. */
  readonly certificates: PortCertificateFiles | undefined;
  /** Common names of clients; empty: any. */
  readonly allowedNames: readonly string[];
}

/** Everything that can be set for the role of the tunnel server, complete and checked. Durations are milliseconds. */
export interface TunnelServerRoleOptions {
  readonly serverId: string;
  readonly serverCount:
    { readonly type: 'fixed'; readonly count: number } | { readonly type: 'dns'; readonly host: string };
  readonly strategies: readonly Strategy[];
  /** Undefined: another role of the process has the tunnel for itself. */
  readonly frontend: FrontendPortOptions | undefined;
  readonly agents: { readonly address: ListenAddress; readonly certificates: PortCertificateFiles };
  /** Undefined: agents are known by certificates, or not at all. */
  readonly agentTokens: AgentTokenOptions | undefined;
  /** For the TokenReviews; undefined: the pod's service account. */
  readonly kubeconfig: string | undefined;
  readonly identifierRule: 'any' | 'certificate';
  readonly tlsMinVersion: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL's names. */
  readonly tlsCipherSuites: readonly string[];
  /** 0: no limit. */
  readonly dialTimeoutMs: number;
  /** 0: none. */
  readonly keepaliveMs: number;
  readonly frontendKeepaliveMs: number;
  readonly maxPendingDials: number;
  readonly maxHeldBytes: number;
  readonly shutdownGraceMs: number;
  /** Undefined: another server of the process has the probes and metrics. */
  readonly health: ServerAddress | undefined;
  readonly admin: ServerAddress | undefined;
  readonly verbosity: number;
}
