import type { Stage, StageTunnel } from '../stage.ts';

/**
 * Who is measured: us, and what we are compared with. `go reuse` is a client of a tunnel alone: the Go one with all
 * connections in one of HTTP/2, which the Go gateway does not do.
 */
export type PeerName = 'ours' | 'go' | 'go reuse' | 'go bare' | 'node' | 'limit';

/** One proxy that can be measured. */
export interface Peer {
  readonly name: PeerName;
  /** For the head of the table. */
  readonly what: string;
  /** Makes everything ready that outlives a round. */
  prepare(stage: Stage): Promise<PreparedPeer | Skipped>;
}

/** Why a peer cannot run on this machine. */
export interface Skipped {
  readonly skipped: string;
}

export interface PreparedPeer {
  /** What stands before the path at the cluster, such as /apis/…/proxy; empty for a proxy of one target. */
  readonly prefix: string;
  /** The process for one round. It must serve TLS with the stage's certificate on 127.0.0.1. */
  command(port: number): PeerCommand;
}

export interface PeerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Where the cluster of the stage is behind a gateway that reads Secrets. */
export function gatewayPrefix(cluster: string): string {
  return `/apis/cluster.core.oam.dev/v1alpha1/clustergateways/${cluster}/proxy`;
}

/** Flags of both gateways that lead to the tunnel. */
export function tunnelFlags({ frontendPort, certificates: { frontend } }: StageTunnel): string[] {
  return [
    '--proxy-host=127.0.0.1',
    `--proxy-port=${frontendPort}`,
    `--proxy-ca-cert=${frontend.caFile}`,
    `--proxy-cert=${frontend.clientCertificateFile}`,
    `--proxy-key=${frontend.clientKeyFile}`,
  ];
}
