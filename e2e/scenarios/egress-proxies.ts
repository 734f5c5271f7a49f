import { createServer } from 'node:http';
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from 'node:net';

/** A proxy that connects wherever it is asked by whom it knows. */
export interface EgressProxy {
  readonly port: number;
  /** What it has connected to, as `host:port`, a line for each connection. */
  readonly asked: readonly string[];
  /** Ends it and all its connections. */
  readonly close: () => void;
}

/** Of HTTP's CONNECT (RFC 9110 §9.3.6); `credentials` are user and password with a colon between them. */
export async function startConnectProxy(credentials: string): Promise<EgressProxy> {
  const asked: string[] = [];
  const expected = `Basic ${Buffer.from(credentials).toString('base64')}`;
  const server = createServer();
  server.on('connect', (request, socket: Socket) => {
    if (request.headers['proxy-authorization'] !== expected) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const target = request.url ?? '';
    asked.push(target);
    joinTo(socket, target, () => socket.write('HTTP/1.1 200 Connection established\r\n\r\n'));
  });
  return { ...(await started(server)), asked };
}

/** Of SOCKS5 (RFC 1928) with a password (RFC 1929), for names and IPv4 addresses. */
export async function startSocksProxy(credentials: string): Promise<EgressProxy> {
  const asked: string[] = [];
  const serve = async (socket: Socket): Promise<void> => {
    const [, methods = 0] = await bytesOf(socket, 2);
    await bytesOf(socket, methods);
    socket.write(Buffer.from([5, 2]));
    const [, userLength = 0] = await bytesOf(socket, 2);
    const user = (await bytesOf(socket, userLength)).toString();
    const [passwordLength = 0] = await bytesOf(socket, 1);
    const given = `${user}:${(await bytesOf(socket, passwordLength)).toString()}`;
    if (given !== credentials) return void socket.end(Buffer.from([1, 1]));
    socket.write(Buffer.from([1, 0]));
    const [, , , type] = await bytesOf(socket, 4);
    const [nameLength = 0] = type === 3 ? await bytesOf(socket, 1) : [4];
    const address = await bytesOf(socket, nameLength);
    const target = `${type === 3 ? address.toString() : address.join('.')}:${(await bytesOf(socket, 2)).readUInt16BE()}`;
    asked.push(target);
    joinTo(socket, target, () => socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0])));
  };
  const server = createTcpServer((socket) => {
    serve(socket).catch(() => socket.destroy());
  });
  return { ...(await started(server)), asked };
}

async function started(server: Server): Promise<Pick<EgressProxy, 'port' | 'close'>> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: (server.address() as AddressInfo).port, close };
}

function joinTo(socket: Socket, target: string, ready: () => void): void {
  const [host = '', port = ''] = target.split(':');
  const onward = connect({ host, port: Number(port) }, () => {
    ready();
    socket.pipe(onward).pipe(socket);
  });
  onward.on('error', () => socket.destroy());
  onward.on('close', () => socket.destroy());
  socket.on('close', () => onward.destroy());
}

async function bytesOf(socket: Socket, count: number): Promise<Buffer> {
  for (;;) {
    const bytes = count === 0 ? Buffer.alloc(0) : (socket.read(count) as Buffer | null);
    if (bytes !== null) return bytes;
    if (socket.readableEnded) throw new Error('the connection ended');
    await new Promise((resolve) => {
      socket.once('readable', resolve);
      socket.once('end', resolve);
    });
  }
}
