import type { Dial } from '../../src/net/dial.ts';
import { dialByConnect } from './dial-connect.ts';
import { startGoClient } from './go-client.ts';
import { startOurClient } from './our-client.ts';
import type { Maker } from './party.ts';
import type { ServerSite, TunnelServer } from './server.ts';

/** A client of a tunnel. */
export interface TunnelClient {
  readonly dial: Dial;
  close(): Promise<void>;
}

export interface ClientOptions {
  readonly maker: Maker;
  readonly site: ServerSite;
  readonly server: Pick<TunnelServer, 'mode' | 'frontend'>;
}

/** Starts a client. The official one speaks gRPC alone: beside a server of HTTP CONNECT it is a few lines of Node instead. */
export async function startClient({ maker, site, server }: ClientOptions): Promise<TunnelClient> {
  if (maker === 'ours') return startOurClient(server);
  if (server.mode === 'grpc') return startGoClient(site, server.frontend);
  return { dial: dialByConnect(server.frontend), close: () => Promise.resolve() };
}
