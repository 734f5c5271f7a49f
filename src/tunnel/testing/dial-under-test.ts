import { silentLog } from '../../base/log.ts';
import type { Closable } from '../../base/scope.ts';
import { createTcpDial } from '../../net/dial-tcp.ts';
import type { Dial } from '../../net/dial.ts';
import { onTestEnd } from '../../net/testing/servers.ts';
import { createTunnelDial } from '../client/tunnel-client.ts';
import type { TunnelDialLimits, TunnelDialOptions } from '../client/tunnel-client.ts';

export const cluster = { host: 'cluster1', port: 443 };
export const never = new AbortController().signal;

/** Some server with a port; undefined: nobody listens. */
type Place = { readonly port: number } | undefined;

export interface DialUnderTestOptions extends Partial<Omit<TunnelDialOptions, 'limits'>> {
  readonly limits?: Partial<TunnelDialLimits>;
}

/**
 * A dial to tunnel servers that stand behind one name: their addresses are the keys, and lead to 127.0.0.1. It is
 * destroyed after the test.
 */
export function tunnelTo(
  places: Readonly<Record<string, Place>> | (() => Readonly<Record<string, Place>>),
  options: DialUnderTestOptions = {},
): Dial & Closable {
  const now = () => (typeof places === 'function' ? places() : places);
  const tcp = createTcpDial();
  const known = new Map<string, number>();
  const dial = createTunnelDial({
    mode: 'grpc',
    server: { type: 'tcp', host: 'tunnel.test', port: 8090 },
    resolve: () => Promise.resolve(Object.keys(now())),
    // Port 1 of the own machine: refused.
    dial: ({ host }, signal) => {
      known.set(host, now()[host]?.port ?? known.get(host) ?? 1);
      return tcp({ host: '127.0.0.1', port: known.get(host) ?? 1 }, signal);
    },
    log: silentLog,
    ...options,
  });
  onTestEnd(() => dial.destroy());
  return dial;
}
