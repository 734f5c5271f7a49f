import { once } from 'node:events';
import { connect } from 'node:net';
import type { Server, Socket } from 'node:net';
import { listen, startTcp } from './servers.ts';
import type { TestServer } from './servers.ts';
import { createServer } from 'node:http';

/** Joins two sockets; each ends with the other. */
export function splice(one: Socket, other: Socket): void {
  for (const [from, into] of [
    [one, other],
    [other, one],
  ] as const) {
    from.pipe(into);
    from.on('error', () => into.destroy());
    from.on('close', () => into.destroy());
  }
}

export interface TestProxy<T extends Server = Server> extends TestServer<T> {
  /** What was asked for: `host:port` and the credentials as they came. */
  readonly asked: { readonly target: string; readonly credentials: string }[];
}

/** An HTTP proxy that connects wherever it is asked. */
export async function startConnectProxy(): Promise<TestProxy> {
  const asked: { target: string; credentials: string }[] = [];
  const server = createServer();
  server.on('connect', (request, socket: Socket) => {
    asked.push({
      target: request.url ?? '',
      credentials: request.headers['proxy-authorization'] ?? '',
    });
    const [host = '', port = ''] = (request.url ?? '').split(':');
    const onward = connect(Number(port), host === 'target.test' ? '127.0.0.1' : host);
    onward.on('connect', () => {
      socket.write('HTTP/1.1 200 Connection established\r\nX-A: b\r\n\r\n');
      splice(socket, onward);
    });
    onward.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n'));
  });
  return { ...(await listen(server)), asked };
}

async function readBytes(socket: Socket, count: number): Promise<Buffer> {
  for (;;) {
    const bytes = socket.read(count) as Buffer | null;
    if (bytes) return bytes;
    await once(socket, 'readable');
  }
}

/** A SOCKS5 proxy for names and IPv4 addresses; with credentials it wants them. */
export async function startSocksProxy(credentials?: string): Promise<TestProxy> {
  const asked: { target: string; credentials: string }[] = [];
  const serve = async (socket: Socket) => {
    const [, count = 0] = await readBytes(socket, 2);
    await readBytes(socket, count);
    let given = '';
    if (credentials === undefined) socket.write(Buffer.from([5, 0]));
    else {
      socket.write(Buffer.from([5, 2]));
      const [, userLength = 0] = await readBytes(socket, 2);
      const user = (await readBytes(socket, userLength)).toString();
      const [passLength = 0] = await readBytes(socket, 1);
      given = `${user}:${(await readBytes(socket, passLength)).toString()}`;
      socket.write(Buffer.from([1, given === credentials ? 0 : 1]));
      if (given !== credentials) return;
    }
    const [, , , type] = await readBytes(socket, 4);
    const length = type === 3 ? ((await readBytes(socket, 1))[0] ?? 0) : 4;
    const bytes = await readBytes(socket, length);
    const host = type === 3 ? bytes.toString() : bytes.join('.');
    const port = (await readBytes(socket, 2)).readUInt16BE();
    asked.push({ target: `${host}:${port}`, credentials: given });
    const onward = connect(port, host === 'target.test' ? '127.0.0.1' : host);
    onward.on('connect', () => {
      socket.write(Buffer.from([5, 0, 0, 3, 4, 110, 97, 109, 101, 0, 80]));
      splice(socket, onward);
    });
    onward.on('error', () => socket.end(Buffer.from([5, 5, 0, 1, 0, 0, 0, 0, 0, 0])));
  };
  const proxy = await startTcp((socket) => {
    serve(socket).catch(() => socket.destroy());
  });
  return { ...proxy, asked };
}
