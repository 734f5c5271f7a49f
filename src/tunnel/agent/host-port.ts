import { isIPv6 } from 'node:net';
import type { Address } from '../../net/dial.ts';

const shape = /^(?:\[([^[\]]*)\]|([^:[\]]*)):(\d{1,5})$/;
/** What can be a name or an address; everything else would only be an odd way to write one. */
const hostShape = /^[\w.:%-]{1,255}$/;

/** Reads `host:port`, IPv6 addresses in brackets; undefined: it is none. */
export function parseHostPort(text: string): Address | undefined {
  const [, bracketed, plain, digits = ''] = shape.exec(text) ?? [];
  const host = bracketed ?? plain ?? '';
  const port = Number(digits);
  if (!hostShape.test(host) || port < 1 || port > 65_535) return undefined;
  if (bracketed !== undefined && !isIPv6(bracketed)) return undefined;
  return { host, port };
}

/** Names are the same in whatever case, and with a dot behind them. */
export function plainName(host: string): string {
  return host.toLowerCase().replace(/\.$/, '');
}
