import type { Frontend, ServerSite } from '../../e2e/tunnel/server.ts';
import type { PeerName } from '../peers/peer.ts';

/** What the driver of dials shall do. */
export interface DialPlan {
  readonly client: PeerName;
  readonly frontend: Frontend;
  readonly site: Pick<ServerSite, 'directory' | 'certificates'>;
  /** Port that sends back what it gets, where the agent is. */
  readonly port: number;
  /** Connections that come first and are not counted. */
  readonly warmUp: number;
  /** Connections one after the other, or all at once. */
  readonly order: 'sequential' | 'at once';
  readonly count: number;
}

/** What it prints. */
export interface DialTimes {
  /** Of each connection until its first byte came back, where they came one after the other. */
  readonly milliseconds: readonly number[];
  /** Where they came at once: until all were open, and until all had been used and closed. */
  readonly openSeconds: number;
  readonly seconds: number;
}
