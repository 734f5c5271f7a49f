import { goBare } from './go-bare.ts';
import { goGateway } from './go-gateway.ts';
import { haproxy } from './haproxy.ts';
import { nodeProxy } from './node-proxy.ts';
import { ours } from './ours.ts';
import type { Peer } from './peer.ts';

/** In the order of the table. */
export const peers: readonly Peer[] = [ours, goGateway, goBare, nodeProxy, haproxy];
