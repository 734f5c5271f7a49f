import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { ClientConnection } from './client-connection.ts';
import type { Exchange } from './exchange.ts';
import { Http1Exchange, UpgradeExchange } from './http1-exchange.ts';
import type { ListenerLimits } from './listener-limits.ts';

export interface Http1ServerOptions {
  readonly limits: ListenerLimits;
  readonly handle: (exchange: Exchange) => void;
  /** True when no more requests are to come: each answer ends its connection. */
  readonly isClosing: () => boolean;
  readonly connectionOf: (socket: object) => ClientConnection;
}

/** Turns requests of HTTP/1.1 connections into Exchanges; the listener gives it each by `emit('connection', socket)`. */
export function createHttp1Server(options: Http1ServerOptions): Server {
  const { limits, handle, isClosing, connectionOf } = options;
  const server = createServer({
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersTimeoutMs,
    connectionsCheckingInterval: Math.min(5_000, limits.headersTimeoutMs),
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // A body may take as long as it takes: uploads through /proxy have no deadline of their own.
    requestTimeout: 0,
    // A missing Host line is refused by the parser, two of them by admission (RFC 9112 3.2).
    requireHostHeader: true,
    insecureHTTPParser: false,
    joinDuplicateHeaders: false,
  });
  server.maxHeadersCount = 0;
  const onRequest = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    if (!mayFollow(request, response)) return;
    const connection = connectionOf(request.socket);
    const exchange = new Http1Exchange({ request, response, connection, limits, expectsContinue });
    if (isClosing() || isOld(connection, limits)) exchange.closeConnectionAfter();
    handle(exchange);
  };
  server.on('request', (request, response) => onRequest(request, response, false));
  server.on('checkContinue', (request, response) => onRequest(request, response, true));
  server.on('upgrade', (request, socket, head) =>
    handle(new UpgradeExchange({ request, socket, head, connection: connectionOf(request.socket) })),
  );
  server.on('connect', (_request, socket) => socket.destroy());
  // Node watches slow request heads only on servers that listen; this one is fed by the TLS listener.
  server.emit('listening');
  return server;
}

/** Requests of one connection that are not answered yet: clients of HTTP/1.1 wait for an answer before they ask again. */
const maxPipelined = 16;
const openRequests = new WeakMap<object, number>();

/** False where the request is not to be handled: it has been answered, or its connection ended. */
function mayFollow(request: IncomingMessage, response: ServerResponse): boolean {
  const { socket } = request;
  const open = (openRequests.get(socket) ?? 0) + 1;
  // Thousands of small requests come in one read, and everybody else would wait until all of them are begun.
  if (socket.destroyed || open > maxPipelined) {
    socket.destroy();
    return false;
  }
  openRequests.set(socket, open);
  response.once('close', () => openRequests.set(socket, (openRequests.get(socket) ?? 1) - 1));
  if (request.httpVersionMajor === 1) return true;
  // Node takes a line without a version for HTTP/0.9, which has no headers: Go's server does not.
  response.shouldKeepAlive = false;
  response.writeHead(505).end();
  return false;
}

function isOld(connection: ClientConnection, { maxConnectionAgeMs }: ListenerLimits): boolean {
  return maxConnectionAgeMs > 0 && performance.now() - connection.openedAt > maxConnectionAgeMs;
}
