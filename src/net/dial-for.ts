import { Failure } from '../base/failure.ts';
import { Redacted } from '../base/redacted.ts';
import { guardLiterals } from './address-guard.ts';
import { createConnectDial } from './dial-connect.ts';
import type { ProxyCredentials } from './dial-connect.ts';
import { createSocksDial } from './dial-socks.ts';
import { createTcpDial } from './dial-tcp.ts';
import type { TcpDialOptions } from './dial-tcp.ts';
import type { Dial } from './dial.ts';
import { createClientTls } from './tls.ts';
import type { ClientTls } from './tls.ts';

export interface DialForOptions extends TcpDialOptions {
  /** For https:// proxies: Node's public authorities unless said. */
  readonly proxyTls?: ClientTls;
}

const defaultPorts: Record<string, number> = {
  'http:': 80,
  'https:': 443,
  'socks5:': 1080,
  'socks5h:': 1080,
};

/**
 * The way out: direct, or through the proxy of a URL (http, https, socks5; user and password in it are sent to it).
 * Throws a `Failure` (`refused`), without the URL's credentials, when the URL is none of these.
 *
 * @example
 * const dial = dialFor('socks5://user:secret@bastion:1080');
 */
export function dialFor(proxyUrl: string | undefined, options: DialForOptions = {}): Dial {
  const direct = createTcpDial(options);
  if (proxyUrl === undefined || proxyUrl === '') return direct;
  const proxied = dialThrough(proxyUrl, direct, options);
  return options.guard ? guardLiterals(options.guard, proxied) : proxied;
}

function dialThrough(proxyUrl: string, direct: Dial, options: DialForOptions): Dial {
  const url = URL.canParse(proxyUrl) ? new URL(proxyUrl) : undefined;
  const defaultPort = defaultPorts[url?.protocol ?? ''];
  if (!url || defaultPort === undefined || url.hostname === '')
    throw new Failure('refused', 'the proxy URL is not http://, https:// or socks5://host:port');
  const proxy = {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? defaultPort : Number(url.port),
  };
  const credentials = credentialsOf(url);
  const shared = {
    proxy,
    dial: direct,
    ...(credentials && { credentials }),
    ...(options.timeoutMs !== undefined && { timeoutMs: options.timeoutMs }),
  };
  if (url.protocol.startsWith('socks5')) return createSocksDial(shared);
  if (url.protocol === 'http:') return createConnectDial(shared);
  return createConnectDial({ ...shared, tls: options.proxyTls ?? createClientTls() });
}

function credentialsOf({ username, password }: URL): Redacted<ProxyCredentials> | undefined {
  if (username === '' && password === '') return undefined;
  try {
    return new Redacted({
      username: decodeURIComponent(username),
      password: decodeURIComponent(password),
    });
  } catch {
    throw new Failure('refused', 'the credentials of the proxy URL are not percent-encoded UTF-8');
  }
}
