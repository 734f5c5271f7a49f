import type { Duplex } from 'node:stream';
import type { Exchange } from '../apiserver/exchange.ts';
import { responseHead } from '../apiserver/http1-exchange.ts';
import { firstHeader, headerTokens } from '../base/header-lines.ts';
import { countRead } from '../base/read-buffers.ts';
import { badRequest } from '../kube/status.ts';
import { readBehindWriteErrors } from '../net/read-behind-write-errors.ts';
import { relay } from './forward.ts';
import type { Carrier, Outgoing } from './forward.ts';
import { responseHeaders } from './headers.ts';

/** What Kubernetes upgrades to; h2c and TLS/1.0 would open a way that nobody has checked. */
const protocols = new Map([
  ['websocket', 'websocket'],
  ['spdy/3.1', 'SPDY/3.1'],
]);

/** How long the other side may still take its last bytes after one side has ended. */
const lingerMs = 10_000;

/** Checks that the request asks, in both headers, for one protocol that is carried, and gives that protocol's name. */
export function upgradeProtocol(exchange: Exchange): string {
  const asked = headerTokens(exchange.headers, 'upgrade');
  const protocol = protocols.get(asked[0] ?? '');
  if (
    asked.length !== 1 ||
    protocol === undefined ||
    !headerTokens(exchange.headers, 'connection').includes('upgrade')
  ) {
    throw badRequest('only upgrades to websocket and SPDY/3.1 are carried');
  }
  if (
    Number(firstHeader(exchange.headers, 'content-length') ?? 0) > 0 ||
    firstHeader(exchange.headers, 'transfer-encoding') !== undefined
  ) {
    throw badRequest('an upgrade must not have a body');
  }
  return protocol;
}

/**
 * Carries an upgrade: on 101 both connections become one, each byte passed as it is; any other answer is the target's
 * own and goes back to the caller, for kubectl falls back to SPDY on it. Each upgrade has a connection of its own,
 * which nothing else ever uses (CVE-2018-1002105).
 */
export async function carryUpgrade(
  exchange: Exchange,
  { transport, deadline, warn }: Carrier,
  outgoing: Outgoing,
): Promise<number> {
  const protocol = upgradeProtocol(exchange);
  const answer = await transport.upgrade({
    ...outgoing,
    headers: [...outgoing.headers, 'Connection', 'Upgrade', 'Upgrade', protocol],
    signal: exchange.signal,
  });
  if (answer.type === 'refused') {
    relay(exchange, answer.response, warn);
    deadline.ending(answer.response.body);
    return answer.response.status;
  }
  deadline.upgraded();
  const caller = exchange.takeSocket(101);
  const lines = [...responseHeaders(answer.headers), 'Connection', 'Upgrade', 'Upgrade', protocol];
  caller.socket.write(responseHead(101, lines, 'Switching Protocols'), 'latin1');
  if (answer.head.length > 0) caller.socket.write(answer.head);
  if (caller.head.length > 0) answer.socket.write(caller.head);
  splice(caller.socket, answer.socket);
  return 101;
}

/** Joins two streams with back-pressure; when one side ends or breaks, the other is ended too, its last bytes sent. */
export function splice(left: Duplex, right: Duplex): void {
  for (const [from, to] of [
    [left, right],
    [right, left],
  ] as const) {
    readBehindWriteErrors(from);
    // What came before the error has been passed on, and is still on its way: 'close' is next.
    from.on('error', () => undefined);
    from.on('close', () => endSoon(to));
    from.on('end', () => endSoon(to));
    from.on('data', (chunk: Buffer) => countRead(chunk.length));
    from.pipe(to, { end: false });
  }
}

function endSoon(socket: Duplex): void {
  if (socket.destroyed || socket.writableEnded) return;
  // What it still sends is for nobody, and is read all the same: to close a connection with bytes that nobody has read
  // resets it, and what is on its way to a slow reader is lost, without a word to kubectl (exit code 0).
  socket.unpipe();
  socket.resume();
  socket.end();
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  timer.unref();
  // Its peer has all of it when it ends its own side.
  socket.once(socket.readableEnded ? 'finish' : 'end', () => socket.destroy());
  socket.once('close', () => clearTimeout(timer));
}
