import type { Duplex } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { frame, uint32 } from '../net/testing/http2-frames.ts';
import type { Http2Connection } from './connection.ts';
import { Http2ConnectionError, clientPreface, errorName, frameFlag, frameType, setting } from './frame.ts';
import type { Http2Stream } from './stream.ts';
import { RandomFields } from './testing/hpack-random.ts';
import { joinedSockets, turns } from './testing/joined-sockets.ts';
import type { OwnerRecorder, Recorder } from './testing/recorder.ts';
import { violations } from './testing/recorder.ts';
import { ScriptedPeer, frames, getLines, headerBlock, postLines } from './testing/scripted-peer.ts';
import { clientOn, serverOn } from './testing/sides.ts';

const maxConcurrentStreams = 20;
const windowBytes = 70_000;
const options = {
  maxHeaderBytes: 8_000,
  streamWindowBytes: windowBytes,
  connectionWindowBytes: 200_000,
  maxUnreadBytes: 100_000,
};
const { endStream, endHeaders, padded, priority } = frameFlag;

/** Frames that could be, mostly; and mostly in an order that could be. */
class Generator extends RandomFields {
  readonly #isClient: boolean;
  readonly #answered = new Set<Http2Stream>();
  #nextId = 1;

  constructor(seed: number, isClient: boolean) {
    super(seed);
    this.#isClient = isClient;
  }

  chance(likelihood: number): boolean {
    return this.random() < likelihood;
  }

  oneOf<T>(...all: [T, ...T[]]): T {
    return all[this.below(all.length)] ?? all[0];
  }

  bytes(most: number): Buffer {
    const bytes = Buffer.alloc(this.below(most + 1));
    for (let at = 0; at < bytes.length; at += 1) bytes[at] = this.below(256);
    return bytes;
  }

  sequence(): Buffer[] {
    const first = frames.settings(this.chance(0.5) ? [] : this.#parameters());
    const all = Array.from({ length: 3 + this.below(40) }, () => this.#frames()).flat();
    return [...(this.#isClient ? [clientPreface] : []), first, ...all];
  }

  #id(): number {
    if (this.chance(0.005)) return this.oneOf(0, 2, 2 ** 31 - 1, this.below(60));
    return Math.max(1, this.#nextId - 2 * (1 + this.below(4)));
  }

  #parameters(): [number, number][] {
    const value = () => this.oneOf(0, 1, 10, 16_384, 20_000, 65_535, 100_000, 2 ** 31 - 1, 2 ** 32 - 1);
    return Array.from({ length: this.below(4) }, (): [number, number] =>
      this.chance(0.97)
        ? [setting.initialWindowSize, this.oneOf(0, 1, 100, 65_535, 1 << 20)]
        : [this.below(9), value()],
    );
  }

  #frames(): Buffer[] {
    const kind = this.random();
    if (kind < 0.35) return this.#headers();
    if (kind < 0.65) return [this.#data()];
    if (kind < 0.75)
      return [
        frames.windowUpdate(
          this.chance(0.4) ? 0 : this.#id(),
          this.chance(0.03) ? this.oneOf(0, 2 ** 31 - 1) : this.oneOf(1, 100, 50_000),
        ),
      ];
    if (kind < 0.82) return [frames.reset(this.#id(), this.below(14))];
    if (kind < 0.88) return [frames.settings(this.#parameters())];
    if (kind < 0.91) return [frames.ping('12345678', this.below(2))];
    if (kind < 0.93) return [frame(frameType.priority, 0, { stream: this.#id(), payload: Buffer.alloc(5) })];
    if (kind < 0.94) return [frames.goaway(this.below(9), this.below(2) * this.below(14))];
    if (kind < 0.97) return [frames.settingsAck()];
    return [frame(this.below(256), this.below(256), { stream: this.#id(), payload: this.bytes(40) })];
  }

  #data(): Buffer {
    const data = this.chance(0.1) ? this.bytes(16_000) : this.bytes(60);
    if (this.chance(0.2)) return frames.paddedData(this.#id(), data, this.below(200));
    return frames.data(this.#id(), data, this.chance(0.3));
  }

  #headers(): Buffer[] {
    const isNew = this.#isClient ? this.chance(0.8) : this.chance(0.5);
    const stream = isNew && this.#isClient ? this.#nextId : this.#id();
    this.#nextId += isNew ? 2 : 0;
    const lengths = this.chance(0.3) ? ['content-length', String(this.below(80))] : [];
    const more = this.chance(0.2) ? this.lines().slice(0, 8) : [];
    const head = this.#isClient
      ? this.oneOf(getLines(), postLines())
      : [':status', this.oneOf('200', '204', '304', '100', '103', '404')];
    const lines = this.chance(isNew ? 0.95 : 0.3) ? [...head, ...lengths, ...more] : ['x-t', 'u'];
    let block = headerBlock(lines);
    let flags = this.chance(0.4) ? endStream : 0;
    if (this.chance(0.1)) {
      block = Buffer.concat([uint32(this.below(9)), this.bytes(0), Buffer.from([7]), block]);
      flags |= priority;
    }
    const pieces = this.chance(0.2) ? 1 + this.below(5) : 1;
    const size = Math.ceil(block.length / pieces);
    return Array.from({ length: pieces }, (_, i) => {
      const end = i === pieces - 1 ? endHeaders : 0;
      const payload = block.subarray(i * size, (i + 1) * size);
      if (i > 0) return frame(frameType.continuation, end, { stream, payload });
      if (!this.chance(0.1)) return frame(frameType.headers, flags | end, { stream, payload });
      const withPadding = Buffer.concat([Buffer.from([3]), payload, Buffer.alloc(3)]);
      return frame(frameType.headers, flags | end | padded, { stream, payload: withPadding });
    });
  }

  /** Something goes wrong with them, or nothing. */
  mutated(all: readonly Buffer[]): Buffer[] {
    const made = [...all];
    for (let count = this.oneOf(0, 0, 0, 1, 1, 2); count > 0; count -= 1) {
      const at = this.below(made.length);
      const one = Buffer.from(made[at] ?? Buffer.alloc(0));
      const kind = this.below(7);
      if (kind === 0 && one.length > 0) one[this.below(one.length)] = this.below(256);
      if (kind === 1 && one.length > 9) one[this.below(9)] = this.below(256);
      if (kind === 2 && one.length > 9) one[9 + this.below(one.length - 9)] = this.below(256);
      if (kind === 3) made.splice(at, 1);
      else if (kind === 4) made.splice(this.below(made.length), 0, one);
      else if (kind === 5) made[at] = one.subarray(0, this.below(one.length + 1));
      else if (kind === 6) made.splice(at, 0, this.bytes(30));
      else made[at] = one;
    }
    return made;
  }

  /** In the pieces in which it may arrive. */
  cut(all: readonly Buffer[]): Buffer[] {
    const bytes = Buffer.concat(all);
    const pieces: Buffer[] = [];
    const most = this.oneOf(10, 500, 100_000);
    for (let at = 0; at < bytes.length;) {
      const next = at + 1 + this.below(most);
      pieces.push(Buffer.from(bytes.subarray(at, next)));
      at = next;
    }
    return pieces;
  }

  /** What whoever has a stream may do with it at any time. */
  act({ stream, recorder }: { stream: Http2Stream; recorder: Recorder }, isServer: boolean): void {
    const kind = this.random();
    if (isServer && !this.#answered.has(stream) && kind < 0.75) {
      const status = this.oneOf('200', '200', '103');
      if (status === '200') this.#answered.add(stream);
      stream.sendHead([':status', status], status === '200' && this.chance(0.2));
    } else if (kind < 0.5) stream.write(Buffer.alloc(this.oneOf(0, 5, 1_000, 50_000)));
    else if (kind < 0.65)
      stream.end(
        this.chance(0.5) ? Buffer.alloc(this.below(50_000)) : undefined,
        this.chance(0.3) ? ['t', 'u'] : [],
      );
    else if (kind < 0.75) recorder.readAll();
    else if (kind < 0.8) stream.reset(this.below(14));
    else if (kind < 0.85) stream.discardUnread();
  }
}

/** What we sent obeys RFC 9113 5.1, whatever the peer did. */
function checkSent(peer: ScriptedPeer, isServer: boolean): void {
  const over = new Map<number, 'ended' | 'reset'>();
  const begun = new Set<number>();
  for (const { type, flags, streamId, payload } of peer.received) {
    if (payload.length > 32_768) throw new Error('a frame that is too large');
    if (streamId === 0) continue;
    if (!isServer && type === frameType.headers) begun.add(streamId);
    const state = over.get(streamId);
    const what = `a frame of type ${type} of stream ${streamId}`;
    if (!isServer && !begun.has(streamId)) throw new Error(`${what} before HEADERS`);
    if (state === 'reset') throw new Error(`${what} behind a reset`);
    if (type === frameType.data || type === frameType.headers) {
      if (state === 'ended') throw new Error(`${what} behind the end`);
      if ((flags & endStream) !== 0) over.set(streamId, 'ended');
    }
    if (type === frameType.rstStream) over.set(streamId, 'reset');
  }
}

interface Side {
  readonly connection: Http2Connection;
  readonly owner: OwnerRecorder;
  readonly socket: Duplex;
  readonly peer: ScriptedPeer;
  readonly streams: readonly { readonly stream: Http2Stream; readonly recorder: Recorder }[];
}

function sideOf(isServer: boolean, generator: Generator): Side {
  const [near, far] = joinedSockets();
  const peer = new ScriptedPeer(near, { isClient: isServer, saysPreface: false });
  if (isServer) {
    const { requests, connection, owner } = serverOn(far, { ...options, maxConcurrentStreams }, (request) => {
      request.recorder.reads = generator.chance(0.6);
      if (generator.chance(0.5)) generator.act(request, true);
      request.recorder.onData = request.recorder.onDrained = () => {
        if (generator.chance(0.2)) generator.act(request, true);
      };
    });
    return { connection, owner, socket: far, peer, streams: requests };
  }
  const client = clientOn(far, options);
  const { connection, owner } = client;
  const streams = Array.from({ length: 1 + generator.below(8) }, () => {
    const asked = client.request(postLines(), {
      endStream: generator.chance(0.5),
      isHead: generator.chance(0.1),
    });
    asked.recorder.reads = generator.chance(0.6);
    asked.recorder.onHead =
      asked.recorder.onData =
      asked.recorder.onDrained =
        () => {
          if (generator.chance(0.2)) generator.act(asked, false);
        };
    return asked;
  });
  return { connection, owner, socket: far, peer, streams };
}

/** One case; throws with what is wrong. */
async function run(seed: number, isServer: boolean): Promise<string> {
  const generator = new Generator(seed, isServer);
  const { connection, owner, socket, peer, streams } = sideOf(isServer, generator);
  for (const piece of generator.cut(generator.mutated(generator.sequence()))) {
    // Within this call, so that whatever is thrown is thrown here.
    socket.emit('data', piece);
    if (generator.chance(0.1)) await turns(1);
    const one = streams[generator.below(streams.length)];
    if (one && generator.chance(0.3)) generator.act(one, isServer);
    const isBounded =
      connection.openStreams <= maxConcurrentStreams &&
      streams.every(({ recorder }) => recorder.held <= windowBytes);
    if (!isBounded) throw new Error('more is held than may be');
  }
  await turns(8);
  const { error } = connection;
  if (error) {
    if (!(error instanceof Http2ConnectionError)) throw error;
    // One that ended before, in good order, cannot say what went wrong since then.
    const isTold = peer.goaways().some(({ code }) => code === errorName(error.code));
    expect(isTold || owner.goaways.length > 0 || peer.goaways().length > 0).toBe(true);
    expect(streams.every(({ recorder }) => recorder.closed !== undefined)).toBe(true);
  }
  connection.destroy();
  await turns(4);
  expect([connection.closed, connection.openStreams, owner.closes.length]).toEqual([true, 0, 1]);
  expect(streams.every(({ stream, recorder }) => stream.closed && recorder.closed !== undefined)).toBe(true);
  checkSent(peer, isServer);
  expect(violations).toEqual([]);
  return error instanceof Http2ConnectionError ? errorName(error.code) : 'none';
}

// Farewells of a second each would hold what is measured.
beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout'] }));
afterEach(() => void vi.useRealTimers());

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;
const bytesInUse = async (): Promise<number> => {
  vi.clearAllTimers();
  // Buffers are freed some time after the first.
  gc();
  await turns(50);
  gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

describe.each([
  ['server', true],
  ['client', false],
])('what a peer of our %s may send', (_, isServer) => {
  test('ends streams or the connection, and nothing else: 600 cases', async () => {
    const ends = new Map<string, number>();
    const runSome = async (from: number, to: number) => {
      for (let seed = from; seed < to; seed += 1) {
        const end = await run(seed, isServer).catch((error: unknown) => {
          throw new Error(`seed ${seed}`, { cause: error });
        });
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
    };
    await runSome(0, 200);
    const before = await bytesInUse();
    await runSome(200, 600);
    expect((await bytesInUse()) - before).toBeLessThan(8e6);
    // It is of no use if most cases end at their first frame.
    expect(ends.get('none')).toBeGreaterThan(150);
    for (const code of ['PROTOCOL_ERROR', 'FLOW_CONTROL_ERROR', 'FRAME_SIZE_ERROR', 'COMPRESSION_ERROR'])
      expect(ends.get(code), code).toBeGreaterThan(1);
  }, 60_000);
});
