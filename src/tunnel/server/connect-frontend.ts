import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Lane, LaneSink } from '../lane.ts';
import type { AgentTable } from './agent-table.ts';
import type { DialFailure } from './dial-failure.ts';
import { dialThroughAgents } from './dialer.ts';
import type { TunnelServerMetrics } from './server-metrics.ts';

export interface ConnectFrontendOptions {
  readonly agents: AgentTable;
  readonly metrics: TunnelServerMetrics;
  /** How long a client may take to send the head of its request. */
  readonly headersTimeoutMs: number;
}

/** HTTP CONNECT (RFC 9110 9.3.6): a connection each, whose bytes are the tunnel's once it is open. */
export interface ConnectFrontends {
  /** Takes a connection that speaks HTTP/1.1. */
  accept(socket: Duplex): void;
  /** Connections that are tunnels, or ask to be. */
  readonly size: number;
  /** Ends them all. */
  destroy(): void;
}

export function createConnectFrontends(options: ConnectFrontendOptions): ConnectFrontends {
  const open = new Set<ConnectTunnel>();
  const server: Server = createServer({ headersTimeout: options.headersTimeoutMs, maxHeaderSize: 16_384 });
  server.on('request', (_, response) => {
    response.writeHead(405, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
    response.end('this proxy only supports CONNECT passthrough\n');
  });
  server.on('connect', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const tunnel = new ConnectTunnel(socket, head, () => open.delete(tunnel));
    open.add(tunnel);
    tunnel.dial(request.url ?? '', options);
  });
  return {
    accept: (socket) => void server.emit('connection', socket),
    get size() {
      return open.size;
    },
    destroy: () => {
      for (const tunnel of open) tunnel.destroy();
      server.closeAllConnections();
    },
  };
}

/** Before its connection is open a client is read no further than this. */
const mostEarlyBytes = 64 * 1024;

class ConnectTunnel {
  readonly #socket: Duplex;
  readonly #onClosed: () => void;
  /** What came before the answer: it is not lost, and is no more than a client may send in hope. */
  #early: Buffer[];
  #earlyBytes: number;
  #lane: Lane | undefined;
  #answered = false;
  #cancel: () => void = () => {};
  #openedAt = 0;
  #metrics: TunnelServerMetrics | undefined;

  constructor(socket: Duplex, early: Buffer, onClosed: () => void) {
    this.#socket = socket;
    this.#early = early.length > 0 ? [early] : [];
    this.#earlyBytes = early.length;
    this.#onClosed = onClosed;
    socket.on('error', () => undefined);
    // It is read from the beginning: only so does it show that the client goes.
    socket.on('data', (bytes: Buffer) => this.#onData(bytes));
    // The protocol behind knows no half-closed connections: the end of one side is the end.
    socket.on('end', () => this.#onGone());
    socket.on('close', () => {
      this.#onGone();
      this.#onClosed();
    });
  }

  dial(address: string, { agents, metrics }: ConnectFrontendOptions): void {
    this.#metrics = metrics;
    const cancel = dialThroughAgents(
      { agents, metrics },
      { protocol: 'tcp', address },
      {
        opened: (_, open) => this.#onOpened(open),
        failed: (failure) => this.#onFailed(failure),
      },
    );
    if (!this.#answered) this.#cancel = cancel;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  readonly #sink: LaneSink = {
    write: (bytes) => this.#socket.write(bytes),
    ended: () => void this.#socket.end(),
    cut: () => void this.#socket.destroy(),
    drained: () => void this.#socket.resume(),
  };

  #onOpened(open: (sink: LaneSink) => Lane): void {
    const socket = this.#socket;
    this.#answered = true;
    this.#openedAt = performance.now();
    const lane = open(this.#sink);
    this.#lane = lane;
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    socket.on('drain', () => lane.sinkDrained());
    const early = this.#early;
    this.#early = [];
    const joined = Buffer.concat(early);
    if (joined.length === 0 || lane.send(joined)) socket.resume();
    else socket.pause();
  }

  #onData(bytes: Buffer): void {
    if (this.#lane) {
      if (!this.#lane.send(bytes)) this.#socket.pause();
    } else if (!this.#answered) {
      this.#early.push(bytes);
      this.#earlyBytes += bytes.length;
      if (this.#earlyBytes > mostEarlyBytes) this.#socket.pause();
    }
  }

  #onFailed(failure: DialFailure): void {
    if (this.#answered) return;
    this.#answered = true;
    const { status, text } = answerOf(failure);
    const body = Buffer.from(text);
    this.#socket.end(
      Buffer.concat([
        Buffer.from(
          `HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`,
        ),
        body,
      ]),
    );
  }

  #onGone(): void {
    if (!this.#answered) {
      this.#answered = true;
      this.#metrics?.dialFailed('frontend_close');
      this.#cancel();
    }
    const lane = this.#lane;
    this.#lane = undefined;
    if (!lane) return;
    this.#metrics?.connectionEnded((performance.now() - this.#openedAt) / 1000);
    lane.close({ type: 'CLOSE_REQ', connectId: lane.connectId });
    // What waits for a client that has ended its side is for nobody.
    this.#socket.end();
  }
}

/** The Go server's codes (ANP pkg/server/tunnel.go). */
function answerOf({ reason, message }: DialFailure): { status: string; text: string } {
  switch (reason) {
    case 'no_agent':
      return { status: '500 Internal Server Error', text: `currently no tunnels available: ${message}` };
    case 'backend_dial_timeout':
      return { status: '504 Gateway Timeout', text: message };
    case 'error_response':
      if (/timeout|deadline exceeded/.test(message)) return { status: '504 Gateway Timeout', text: message };
      if (message.includes('too many open files'))
        return { status: '503 Service Unavailable', text: message };
      return { status: '502 Bad Gateway', text: message };
    default:
      return { status: '502 Bad Gateway', text: message };
  }
}
