import { isIPv4, isIPv6 } from 'node:net';
import type { Duplex } from 'node:stream';
import { Failure } from '../base/failure.ts';
import type { Redacted } from '../base/redacted.ts';
import type { ProxyCredentials } from './dial-connect.ts';
import type { Address, Dial } from './dial.ts';
import { ipv6Bytes } from './ipv6-bytes.ts';
import { hostPort } from './node-errors.ts';
import { readReply } from './reply-reader.ts';
import type { ReplyEnd } from './reply-reader.ts';

export interface SocksDialOptions {
  readonly proxy: Address;
  /** How to reach the proxy itself. */
  readonly dial: Dial;
  readonly credentials?: Redacted<ProxyCredentials>;
  /** How long each answer may take, the last of which includes the proxy's own dial: 30 s. */
  readonly timeoutMs?: number;
}

const version = 5;
const noAuthentication = 0;
const usernamePassword = 2;
const longestReply = 262;

/** RFC 1928 §6, in the words of golang.org/x/net/proxy. */
const replies = [
  'succeeded',
  'general SOCKS server failure',
  'connection not allowed by ruleset',
  'network unreachable',
  'host unreachable',
  'connection refused',
  'TTL expired',
  'command not supported',
  'address type not supported',
];

/** Through a SOCKS5 proxy (RFC 1928), with user and password (RFC 1929) if given. Names are resolved by the proxy. */
export function createSocksDial(options: SocksDialOptions): Dial {
  const { proxy, dial, credentials, timeoutMs = 30_000 } = options;
  return async (address, signal) => {
    const prefix = `socks connect tcp ${hostPort(proxy)}->${hostPort(address)}`;
    const request = connectRequest(address, prefix);
    const stream = await dial(proxy, signal);
    const read = (end: ReplyEnd) =>
      readReply(stream, end, {
        signal,
        timeoutMs,
        maxBytes: longestReply,
        name: `proxy ${hostPort(proxy)}`,
      });
    try {
      await agreeOnMethod({ stream, read, credentials });
      stream.write(request);
      const code = (await read(connectReplyEnd))[1] ?? 1;
      if (code !== 0) throw new Error(replies[code] ?? `unknown code: ${code}`);
      return stream;
    } catch (error) {
      stream.on('error', () => undefined);
      stream.destroy();
      if (error instanceof Failure && error.kind === 'cancelled') throw error;
      const { kind, message } = error instanceof Failure ? error : asRefusal(error as Error);
      throw new Failure(kind, `${prefix}: ${message}`, { cause: error });
    }
  };
}

function asRefusal({ message }: Error): { readonly kind: 'refused'; readonly message: string } {
  return { kind: 'refused', message: `unknown error ${message}` };
}

interface Conversation {
  readonly stream: Duplex;
  readonly read: (end: ReplyEnd) => Promise<Buffer>;
  readonly credentials: Redacted<ProxyCredentials> | undefined;
}

async function agreeOnMethod({ stream, read, credentials }: Conversation): Promise<void> {
  const methods = credentials ? [noAuthentication, usernamePassword] : [noAuthentication];
  stream.write(Buffer.from([version, methods.length, ...methods]));
  const [spoken, chosen] = await read(twoBytes);
  if (spoken !== version) throw new Failure('refused', `unexpected protocol version ${spoken ?? 0}`);
  if (chosen === noAuthentication) return;
  if (chosen !== usernamePassword || !credentials)
    throw new Failure('refused', 'no acceptable authentication methods');
  const { username, password } = credentials.reveal();
  const user = Buffer.from(username);
  const pass = Buffer.from(password);
  if (user.length < 1 || user.length > 255 || pass.length < 1 || pass.length > 255)
    throw new Failure('refused', 'invalid username/password');
  stream.write(Buffer.concat([Buffer.from([1, user.length]), user, Buffer.from([pass.length]), pass]));
  const [, status] = await read(twoBytes);
  if (status !== 0) throw new Failure('refused', 'username/password authentication failed');
}

function twoBytes(received: Buffer): number | undefined {
  return received.length < 2 ? undefined : 2;
}

/** VER REP RSV ATYP BND.ADDR BND.PORT; a proxy may close right after a refusal's first two bytes. */
function connectReplyEnd(received: Buffer): number | undefined {
  const [spoken, code, , type, nameLength] = received;
  if (spoken !== undefined && spoken !== version)
    throw new Failure('refused', `unexpected protocol version ${spoken}`);
  if (code === undefined) return undefined;
  if (code !== 0) return 2;
  if (type === undefined) return undefined;
  if (type === 1) return 10;
  if (type === 4) return 22;
  if (type !== 3) throw new Failure('refused', 'unknown address type');
  return nameLength === undefined ? undefined : 7 + nameLength;
}

function connectRequest({ host, port }: Address, prefix: string): Buffer {
  const portBytes = Buffer.from([port >> 8, port & 0xff]);
  const head = [version, 1 /* CONNECT */, 0];
  if (isIPv4(host)) return Buffer.concat([Buffer.from([...head, 1, ...ipv4Bytes(host)]), portBytes]);
  if (isIPv6(host)) return Buffer.concat([Buffer.from([...head, 4]), ipv6Bytes(host), portBytes]);
  const name = Buffer.from(host);
  if (name.length < 1 || name.length > 255) throw new Failure('refused', `${prefix}: FQDN too long`);
  return Buffer.concat([Buffer.from([...head, 3, name.length]), name, portBytes]);
}

function ipv4Bytes(host: string): number[] {
  return host.split('.').map(Number);
}
