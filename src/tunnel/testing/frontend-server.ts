import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { expect } from 'vitest';
import { silentLog } from '../../base/log.ts';
import { Http2Connection } from '../../http2/connection.ts';
import { frameFlag, frameType } from '../../http2/frame.ts';
import { FrameReader } from '../../http2/frame-reader.ts';
import type { Http2Stream } from '../../http2/stream.ts';
import { eventually, onTestEnd } from '../../net/testing/servers.ts';
import type { DialRequest } from '../packet.ts';
import { listenForStreams } from '../stream-listener.ts';
import type { ListenAddress, ServerTls, StreamListenerHandle } from '../stream-listener.ts';
import { FrontendCall } from './frontend-call.ts';

export interface FrontendServerOptions {
  /** Answers dials; nobody does unless said. */
  readonly onDial?: (call: FrontendCall, dial: DialRequest) => void;
  /** Takes a stream before its first packet. */
  readonly onCall?: (call: FrontendCall) => void;
  readonly address?: ListenAddress;
  readonly tls?: ServerTls;
  readonly alpn?: readonly string[];
  readonly maxConcurrentStreams?: number;
  readonly streamWindowBytes?: number;
  /** Connections and streams may be left at the end of the test. */
  readonly mayLeave?: boolean;
}

/** A tunnel server's port for frontends, of which the test is the inside. */
export class FrontendServer {
  /** Every stream that ever came. */
  readonly calls: FrontendCall[] = [];
  readonly connections = new Set<Http2Connection>();
  readonly #sockets = new Set<Duplex>();
  accepted = 0;
  /** PINGs of frontends. */
  pings = 0;
  onDial: (call: FrontendCall, dial: DialRequest) => void;
  readonly #options: FrontendServerOptions;
  #listener: StreamListenerHandle | undefined;

  constructor(options: FrontendServerOptions) {
    this.#options = options;
    this.onDial = options.onDial ?? (() => undefined);
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  get openStreams(): number {
    let open = 0;
    for (const { openStreams } of this.connections) open += openStreams;
    return open;
  }

  async listen(): Promise<void> {
    const { tls, alpn = ['h2'], address = { type: 'tcp', host: '127.0.0.1', port: 0 } } = this.#options;
    this.#listener = await listenForStreams({
      ...{ address, tls, alpn, handshakeTimeoutMs: 5_000, maxConnections: 1_000 },
      onConnection: ({ socket }) => this.#accept(socket),
      log: silentLog,
    });
    onTestEnd(() => this.#end());
  }

  setTls(tls: ServerTls): void {
    this.#listener?.setTls(tls);
  }

  /** GOAWAY on all connections, which end with their last stream. */
  finish(): void {
    for (const connection of this.connections) connection.finish();
  }

  /** All connections are lost. */
  cut(): void {
    for (const connection of this.connections) connection.destroy();
  }

  /** As when the way is cut: nothing of what is sent is seen. */
  mute(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  /** No new connections. */
  async stop(): Promise<void> {
    this.#listener?.destroy();
    await this.#listener?.close();
  }

  async #end(): Promise<void> {
    const mayLeave = this.#options.mayLeave === true;
    if (!mayLeave) await eventually(() => this.connections.size === 0, 2_000).catch(() => undefined);
    const [left, streams] = [this.connections.size, this.openStreams];
    await this.stop();
    if (!mayLeave) expect({ left, streams }, 'left at the end of the test').toEqual({ left: 0, streams: 0 });
  }

  #accept(socket: Duplex): void {
    this.accepted += 1;
    this.#sockets.add(socket);
    this.#countPings(socket);
    const connection = new Http2Connection(
      socket,
      {
        requests: {
          maxConcurrentStreams: this.#options.maxConcurrentStreams ?? 100_000,
          onRequest: (stream, lines) => this.#onRequest(connection, stream, lines),
          onHeadTooLarge: (stream) => stream.reset(11),
        },
        maxHeaderBytes: 64 * 1024,
        streamWindowBytes: this.#options.streamWindowBytes ?? 512 * 1024,
        connectionWindowBytes: 16 * 1024 * 1024,
        maxUnreadBytes: 256 * 1024 * 1024,
      },
      {
        onSettings: () => undefined,
        onGoaway: () => undefined,
        onPong: () => undefined,
        onClose: () => {
          this.connections.delete(connection);
          this.#sockets.delete(socket);
        },
      },
    );
    this.connections.add(connection);
  }

  #onRequest(connection: Http2Connection, stream: Http2Stream, lines: readonly string[]): void {
    const parts = { connection, stream, lines, connectId: this.calls.length + 1 };
    const call = new FrontendCall(parts, (dialled, dial) => this.onDial(dialled, dial));
    this.calls.push(call);
    this.#options.onCall?.(call);
  }

  #countPings(socket: Duplex): void {
    const reader = new FrameReader(({ type, flags }) => {
      if (type === frameType.ping && !(flags & frameFlag.ack)) this.pings += 1;
    });
    // What every client's connection begins with (RFC 9113 3.4).
    let preface = 24;
    socket.on('data', (chunk: Buffer) => {
      const skipped = Math.min(preface, chunk.length);
      preface -= skipped;
      if (skipped < chunk.length) reader.read(chunk.subarray(skipped));
    });
  }
}

/** Starts one on a free port; it fails the test that leaves a connection or a stream open. */
export async function startFrontendServer(options: FrontendServerOptions = {}): Promise<FrontendServer> {
  const server = new FrontendServer(options);
  await server.listen();
  return server;
}

/** The path of a Unix socket that is removed after the test. */
export async function unixPath(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'tunnel-'));
  onTestEnd(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'tunnel.sock');
}
