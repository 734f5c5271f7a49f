import type { Duplex } from 'node:stream';
import { Failure } from '../../base/failure.ts';
import type { Address, Dial } from '../../net/dial.ts';
import { hostPort } from '../../net/node-errors.ts';
import type { DestinationAllowList } from './destination-allow-list.ts';
import { parseHostPort, plainName } from './host-port.ts';

/** What a server asks for. */
export interface DialTarget {
  readonly protocol: string;
  readonly address: string;
}

/** Connects to what a server asks for, when it may. Rejects with a `Failure` whose text is sent to the server. */
export type EndpointDial = (target: DialTarget, signal: AbortSignal) => Promise<Duplex>;

export interface EndpointDialOptions {
  /** Is asked for the address that the server wrote, before aliases. */
  readonly allowList: DestinationAllowList;
  /** Where addresses lead to that no DNS knows; by `aliasKey`. */
  readonly aliases: ReadonlyMap<string, Address>;
  readonly dial: Dial;
}

export function aliasKey({ host, port }: Address): string {
  return hostPort({ host: plainName(host), port });
}

/** Texts of what is refused here are made as Go's are for other failures: frontends look for parts of them. */
export function createEndpointDial({ allowList, aliases, dial }: EndpointDialOptions): EndpointDial {
  return async ({ protocol, address }, signal) => {
    if (protocol !== 'tcp') {
      const shown = protocol.slice(0, 16);
      throw new Failure('refused', `dial ${shown}: unknown network ${shown}`);
    }
    const target = parseHostPort(address);
    if (!target)
      throw new Failure('refused', `dial tcp: address ${address.slice(0, 300)}: is not a host and a port`);
    if (!allowList.allows(target))
      throw new Failure('refused', `dial tcp ${address}: destination is not allowed`);
    return dial(aliases.get(aliasKey(target)) ?? target, signal);
  };
}
