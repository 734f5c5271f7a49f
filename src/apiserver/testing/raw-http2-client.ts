import { once } from 'node:events';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { frame, uint32 } from '../../net/testing/http2-frames.ts';

export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** An HTTP/2 client that sends what a well-behaved one never would, and reads only when it is told to. */
export interface RawHttp2Client {
  readonly socket: TLSSocket;
  readonly received: ReceivedFrame[];
  /** Resolves when the bytes are on their way or the connection has ended. */
  send(...frames: readonly Buffer[]): Promise<void>;
  /** The first frame that fits, waited for; undefined when the connection ends or the time is over without one. */
  next(
    fits: (frame: ReceivedFrame) => boolean,
    options?: { readonly timeoutMs?: number },
  ): Promise<ReceivedFrame | undefined>;
  /** Whether the connection ends within the time. */
  ended(timeoutMs?: number): Promise<boolean>;
  close(): void;
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export interface RawHttp2Options {
  readonly port: number;
  readonly host?: string;
  readonly cert?: string;
  readonly key?: string;
  /** The first SETTINGS; default empty. */
  readonly settings?: Buffer;
}

export async function connectRawHttp2(options: RawHttp2Options): Promise<RawHttp2Client> {
  const { port, host = '127.0.0.1', settings = Buffer.alloc(0), ...identity } = options;
  const socket = connect({ host, port, rejectUnauthorized: false, ALPNProtocols: ['h2'], ...identity });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  const received: ReceivedFrame[] = [];
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      received.push({
        type: rest.readUInt8(3),
        flags: rest.readUInt8(4),
        stream: rest.readUInt32BE(5) & 0x7fffffff,
        payload: rest.subarray(9, end),
      });
      rest = rest.subarray(end);
    }
  });
  socket.write(Buffer.concat([preface, frame(frameTypes.settings, 0, { payload: settings })]));
  const send = (...frames: readonly Buffer[]): Promise<void> =>
    new Promise((resolve) => {
      if (socket.destroyed || !socket.writable) {
        resolve();
        return;
      }
      socket.once('close', resolve);
      socket.write(Buffer.concat(frames), () => {
        socket.removeListener('close', resolve);
        resolve();
      });
    });
  const client: RawHttp2Client = {
    socket,
    received,
    send,
    next: async (fits, { timeoutMs = 5_000 } = {}) => {
      const deadline = performance.now() + timeoutMs;
      for (;;) {
        const found = received.find(fits);
        if (found || socket.destroyed || performance.now() > deadline) return found;
        await sleep(5);
      }
    },
    ended: async (timeoutMs = 5_000) => {
      const deadline = performance.now() + timeoutMs;
      while (!socket.closed && performance.now() < deadline) await sleep(5);
      return socket.closed;
    },
    close: () => socket.destroy(),
  };
  await client.next(({ type, flags }) => type === frameTypes.settings && flags === 0);
  // Our limits hold from here on (RFC 9113 6.5.3).
  await send(frame(frameTypes.settings, 1));
  return client;
}

/** A header block of literals that are not indexed (RFC 7541 6.2.2): no state that one test could leave to another. */
export function headerBlock(lines: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(
    lines.flatMap(([name, value]) => [Buffer.from([0]), hpackString(name), hpackString(value)]),
  );
}

function hpackString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([hpackInteger(bytes.length, 7, 0), bytes]);
}

/** RFC 7541 5.1. */
function hpackInteger(value: number, prefixBits: number, first: number): Buffer {
  const max = 2 ** prefixBits - 1;
  if (value < max) return Buffer.from([first | value]);
  const bytes = [first | max];
  let rest = value - max;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

const requestLines = (path: string, method = 'GET') =>
  [
    [':method', method],
    [':scheme', 'https'],
    [':authority', 'localhost'],
    [':path', path],
  ] as const;

export interface RawRequest {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: readonly (readonly [string, string])[];
  /** Default true. */
  readonly endStream?: boolean;
}

/** HEADERS of a whole request in one frame. */
export function request(stream: number, options: RawRequest = {}): Buffer {
  const { path = '/', method, headers = [], endStream = true } = options;
  const payload = headerBlock([...requestLines(path, method), ...headers]);
  return frame(frameTypes.headers, 4 | (endStream ? 1 : 0), { stream, payload });
}

export const resetStream = (stream: number, code = 8): Buffer =>
  frame(frameTypes.reset, 0, { stream, payload: uint32(code) });

/** What a GOAWAY says. */
export const goawayOf = ({ payload }: ReceivedFrame) => ({
  lastStream: payload.readUInt32BE(0) & 0x7fffffff,
  code: payload.readUInt32BE(4),
});

/** What each GOAWAY said. */
export const goaways = ({ received }: RawHttp2Client) =>
  received.filter(({ type }) => type === frameTypes.goaway).map(goawayOf);

/** Says that it has heard, as a well-behaved client does. */
export function answerPings(client: RawHttp2Client): void {
  let at = 0;
  client.socket.on('data', () => {
    for (; at < client.received.length; at += 1) {
      const { type, flags, payload } = client.received[at] ?? {
        type: -1,
        flags: 0,
        payload: Buffer.alloc(0),
      };
      if (type === frameTypes.ping && flags === 0) void client.send(frame(frameTypes.ping, 1, { payload }));
    }
  });
}
