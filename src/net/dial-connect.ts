import { Failure } from '../base/failure.ts';
import type { Redacted } from '../base/redacted.ts';
import type { Address, Dial } from './dial.ts';
import { hostPort } from './node-errors.ts';
import { readReply } from './reply-reader.ts';
import { connectTls } from './tls.ts';
import type { ClientTls } from './tls.ts';

export interface ProxyCredentials {
  readonly username: string;
  readonly password: string;
}

export interface ConnectDialOptions {
  readonly proxy: Address;
  /** How to reach the proxy itself. */
  readonly dial: Dial;
  /** Present: the proxy is spoken to over TLS. */
  readonly tls?: ClientTls;
  readonly credentials?: Redacted<ProxyCredentials>;
  /** How long the proxy may take to answer CONNECT, which includes its own dial: 30 s. */
  readonly timeoutMs?: number;
}

const maxAnswerBytes = 16_384;

/** Through an HTTP proxy, by CONNECT (RFC 9110 §9.3.6). Names are resolved by the proxy. */
export function createConnectDial(options: ConnectDialOptions): Dial {
  const { proxy, dial, tls, credentials, timeoutMs = 30_000 } = options;
  const name = `proxy ${hostPort(proxy)}`;
  return async (address, signal) => {
    const target = hostPort(address);
    if (/[^\x21-\x7e]/.test(target)) throw new Failure('refused', 'net: invalid host');
    const raw = await dial(proxy, signal).catch((error: unknown) => throwProxyFailure(error));
    const stream = tls
      ? await connectTls(raw, { tls, host: proxy.host, alpn: ['http/1.1'], signal }).catch(throwProxyFailure)
      : raw;
    stream.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${authorization(credentials)}\r\n`);
    const reply = await readReply(stream, headEnd, { signal, timeoutMs, maxBytes: maxAnswerBytes, name });
    const status = /^HTTP\/1\.[01] (\d{3})([^\r\n]*)/.exec(reply.toString('latin1'));
    if (status?.[1]?.startsWith('2')) return stream;
    stream.on('error', () => undefined);
    stream.destroy();
    const answer = status ? `${status[1] ?? ''}${status[2] ?? ''}` : 'malformed HTTP response';
    throw new Failure('refused', `${name} refused to connect to ${target}: ${printable(answer)}`);
  };
}

/** As Go's http.Transport marks what went wrong on the way to the proxy. */
function throwProxyFailure(error: unknown): never {
  if (!(error instanceof Failure) || error.kind === 'cancelled') throw error;
  throw new Failure(error.kind, `proxyconnect tcp: ${error.message}`, { cause: error });
}

/** RFC 7617. */
function authorization(credentials: Redacted<ProxyCredentials> | undefined): string {
  if (!credentials) return '';
  const { username, password } = credentials.reveal();
  return `Proxy-Authorization: Basic ${Buffer.from(`${username}:${password}`).toString('base64')}\r\n`;
}

function headEnd(received: Buffer): number | undefined {
  const at = received.indexOf('\r\n\r\n');
  return at < 0 ? undefined : at + 4;
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
}
