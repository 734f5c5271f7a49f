import type { Duplex } from 'node:stream';
import { afterEach, expect } from 'vitest';
import { Http2Connection } from '../connection.ts';
import type { Http2ConnectionOptions } from '../connection-options.ts';
import type { Http2Stream } from '../stream.ts';
import { joinedSockets, turns } from './joined-sockets.ts';
import type { JoinedSocketsOptions } from './joined-sockets.ts';
import { OwnerRecorder, Recorder, violations } from './recorder.ts';
import { ScriptedPeer, frames } from './scripted-peer.ts';

/** What a test changes of a connection's options. */
export interface SideOptions extends Partial<Omit<Http2ConnectionOptions, 'requests'>> {
  readonly maxConcurrentStreams?: number;
}

export interface ServedRequest {
  readonly stream: Http2Stream;
  readonly lines: string[];
  readonly endStream: boolean;
  readonly recorder: Recorder;
}

const defaults = {
  maxHeaderBytes: 64 * 1024,
  streamWindowBytes: 65_535,
  connectionWindowBytes: 1024 * 1024,
  maxUnreadBytes: 1024 * 1024,
};

const opened = new Set<Http2Connection>();

// Whoever uses a side expects that no listener is told anything out of turn.
afterEach(() => {
  for (const connection of opened) connection.destroy();
  opened.clear();
  expect(violations.splice(0)).toEqual([]);
});

export interface ServerSide {
  readonly connection: Http2Connection;
  readonly owner: OwnerRecorder;
  readonly requests: ServedRequest[];
  readonly tooLarge: Http2Stream[];
}

/** The server's side; `onRequest` is called with a listener set that notes everything. */
export function serverOn(
  socket: Duplex,
  options: SideOptions = {},
  onRequest: (request: ServedRequest) => void = () => {},
): ServerSide {
  const { maxConcurrentStreams = 100, ...rest } = options;
  const owner = new OwnerRecorder(() => opened.delete(connection));
  const requests: ServedRequest[] = [];
  const tooLarge: Http2Stream[] = [];
  const taker = {
    maxConcurrentStreams,
    onRequest: (stream: Http2Stream, lines: string[], endStream: boolean) => {
      const recorder = new Recorder({ isAnswer: false });
      recorder.stream = stream;
      stream.listener = recorder;
      const request = { stream, lines, endStream, recorder };
      // An end with the head is told with the head.
      if (endStream) recorder.endReceived([]);
      requests.push(request);
      onRequest(request);
    },
    onHeadTooLarge: (stream: Http2Stream) => {
      tooLarge.push(stream);
    },
  };
  const connection = new Http2Connection(socket, { ...defaults, ...rest, requests: taker }, owner);
  opened.add(connection);
  return { connection, owner, requests, tooLarge };
}

export interface ClientSide {
  readonly connection: Http2Connection;
  readonly owner: OwnerRecorder;
  /** Begins a stream whose listener notes everything; throws where no more can be begun. */
  request(lines: readonly string[], options?: { endStream?: boolean; isHead?: boolean }): Asked;
}

export interface Asked {
  readonly stream: Http2Stream;
  readonly recorder: Recorder;
}

export function clientOn(socket: Duplex, options: SideOptions = {}): ClientSide {
  const owner = new OwnerRecorder(() => opened.delete(connection));
  const connection = new Http2Connection(socket, { ...defaults, ...options }, owner);
  opened.add(connection);
  return {
    connection,
    owner,
    request: (lines, { endStream = true, isHead = false } = {}) => {
      const recorder = new Recorder({ isAnswer: true });
      const stream = connection.request(lines, { endStream, isHead, listener: recorder });
      if (!stream) throw new Error('no more streams');
      recorder.stream = stream;
      return { stream, recorder };
    },
  };
}

/** Our client and our server on one connection in memory, once both have heard of the other. */
export async function joinedSides(
  options: {
    readonly client?: SideOptions;
    readonly server?: SideOptions;
    readonly sockets?: JoinedSocketsOptions;
  } = {},
  onRequest?: (request: ServedRequest) => void,
): Promise<{ client: ClientSide; server: ServerSide }> {
  const [near, far] = joinedSockets(options.sockets);
  const server = serverOn(far, options.server, onRequest);
  const client = clientOn(near, options.client);
  await turns();
  expect([client.owner.settings, server.owner.settings]).toEqual([1, 1]);
  return { client, server };
}

type Parameters = readonly (readonly [id: number, value: number])[];

/** Our server, and a client that follows a script. */
export async function scriptedClient(
  options: SideOptions & { readonly settings?: Parameters } = {},
  onRequest?: (request: ServedRequest) => void,
): Promise<{ peer: ScriptedPeer; server: ServerSide }> {
  const { settings, ...rest } = options;
  const [near, far] = joinedSockets();
  const server = serverOn(far, rest, onRequest);
  const peer = new ScriptedPeer(near, { isClient: true });
  peer.send(frames.settings(settings), frames.settingsAck());
  await turns();
  return { peer, server };
}

/** Our client, and a server that follows a script. */
export async function scriptedServer(
  options: SideOptions & { readonly settings?: Parameters } = {},
): Promise<{ peer: ScriptedPeer; client: ClientSide }> {
  const { settings, ...rest } = options;
  const [near, far] = joinedSockets();
  const client = clientOn(near, rest);
  const peer = new ScriptedPeer(far, { isClient: false });
  peer.send(frames.settings(settings), frames.settingsAck());
  await turns();
  return { peer, client };
}
