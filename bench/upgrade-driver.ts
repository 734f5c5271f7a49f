import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

export interface UpgradeOptions {
  readonly url: string;
  readonly caPem: string;
  readonly token: string;
}

/**
 * Upgrades a connection of its own as kubectl exec does, without a byte behind the head of the answer.
 * @throws Error when the answer is not 101
 */
export async function openUpgrade({ url, caPem, token }: UpgradeOptions): Promise<TLSSocket> {
  const { hostname, port, host, pathname, search } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), ca: caPem, ALPNProtocols: ['http/1.1'] });
  await once(socket, 'secureConnect');
  socket.setNoDelay(true);
  socket.write(
    [
      `POST ${pathname}${search} HTTP/1.1`,
      `Host: ${host}`,
      `Authorization: Bearer ${token}`,
      ...['Connection: Upgrade', 'Upgrade: SPDY/3.1', 'X-Stream-Protocol-Version: v4.channel.k8s.io'],
      ...['Content-Length: 0', '', ''],
    ].join('\r\n'),
  );
  await readHead(socket);
  return socket;
}

/** Reads no further than the part in which the head ends: what follows it is put back. Leaves the socket paused. */
async function readHead(socket: TLSSocket): Promise<void> {
  let head = Buffer.alloc(0);
  const ended = once(socket, 'close').then(() => Promise.reject(new Error('the upgrade was not answered')));
  while (!head.includes('\r\n\r\n')) {
    await Promise.race([once(socket, 'readable'), ended]);
    const part = socket.read() as Buffer | null;
    if (part !== null) head = Buffer.concat([head, part]);
  }
  ended.catch(() => {});
  const status = head.toString('latin1').split('\r\n', 1)[0] ?? '';
  if (!status.startsWith('HTTP/1.1 101 ')) throw new Error(`the upgrade was answered ${status}`);
  const rest = head.subarray(head.indexOf('\r\n\r\n') + 4);
  if (rest.length > 0) socket.unshift(rest);
}
