import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { connect, createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { testPki } from '../net/testing/certificates.ts';
import { listen, onTestEnd } from '../net/testing/servers.ts';
import { frameKind } from './frame.ts';
import { Http2Output } from './output.ts';
import { seededRandom } from './testing/hpack-random.ts';
import { turns, until } from './testing/joined-sockets.ts';

const blockBytes = 64 * 1024;

/** Takes what is written, and says that it has when the test says so. */
class SlowSocket extends Duplex {
  /** As they were when they were written. */
  readonly writes: Buffer[] = [];
  readonly given: Buffer[] = [];
  ends = 0;
  isSlow = true;
  #done: ((error?: Error) => void) | undefined;

  constructor() {
    super({ writableHighWaterMark: 1 << 30 });
    this.on('error', () => {});
  }

  get isWriting(): boolean {
    return this.#done !== undefined;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error) => void): void {
    this.writes.push(Buffer.from(chunk));
    this.given.push(chunk);
    if (this.isSlow) this.#done = done;
    else setImmediate(done);
  }

  override _final(done: () => void): void {
    this.ends += 1;
    done();
  }

  async taken(error?: Error): Promise<void> {
    const done = this.#done;
    this.#done = undefined;
    done?.(error);
    await turns(3);
  }

  async takenAll(): Promise<void> {
    while (this.#done) await this.taken();
  }
}

function outputOn<T extends Duplex>(socket: T) {
  const told = { drains: 0, flushes: 0 };
  const output = new Http2Output(socket, {
    onDrain: () => (told.drains += 1),
    onFlushed: () => (told.flushes += 1),
  });
  return { socket, output, told };
}

const written = ({ writes }: SlowSocket) => Buffer.concat(writes).toString('latin1');
const sizes = ({ writes }: SlowSocket) => writes.map(({ length }) => length);

describe('what is written', () => {
  test('a frame’s head, and numbers', async () => {
    const { socket, output } = outputOn(new SlowSocket());
    output.frame(frameKind(9, 0x24), 0x7ffffffe, 0x123456);
    output.uint32(0xfedcba98);
    output.uint16(0x8765);
    await turns(3);
    expect(socket.writes[0]?.toString('hex')).toBe('12345609247ffffffefedcba988765');
  });

  test('all of one turn goes out in one write, and nothing before its end', async () => {
    const { socket, output, told } = outputOn(new SlowSocket());
    for (const text of ['a', 'b', 'c']) output.append(Buffer.from(text));
    expect(socket.writes).toHaveLength(0);
    expect(output.pendingBytes).toBe(3);
    await turns(3);
    expect(written(socket)).toBe('abc');
    expect(socket.writes).toHaveLength(1);
    expect(output.pendingBytes).toBe(3);
    expect(told.flushes).toBe(0);
    await socket.taken();
    expect(output.pendingBytes).toBe(0);
    expect(told).toEqual({ drains: 0, flushes: 1 });
  });

  test('one write at a time: what comes meanwhile waits, and goes out together', async () => {
    const { socket, output, told } = outputOn(new SlowSocket());
    output.append(Buffer.from('first'));
    await turns(3);
    for (const text of ['se', 'co', 'nd']) {
      output.append(Buffer.from(text));
      await turns(3);
    }
    expect(socket.writes).toHaveLength(1);
    await socket.taken();
    expect(sizes(socket)).toEqual([5, 6]);
    expect(told.flushes).toBe(0);
    await socket.taken();
    expect(written(socket)).toBe('firstsecond');
    expect(told.flushes).toBe(1);
  });

  test('what is larger than a block goes out in blocks, in order', async () => {
    const { socket, output } = outputOn(new SlowSocket());
    const bytes = Buffer.from(Array.from({ length: 200_001 }, (_, i) => i % 251));
    output.append(bytes);
    await turns(3);
    await socket.takenAll();
    expect(sizes(socket)).toEqual([blockBytes, blockBytes, blockBytes, 200_001 - 3 * blockBytes]);
    expect(Buffer.concat(socket.writes).equals(bytes)).toBe(true);
  });

  test('random pieces come out as they went in, whenever the socket takes them', async () => {
    const random = seededRandom(5);
    const { socket, output } = outputOn(new SlowSocket());
    const expected: Buffer[] = [];
    for (let i = 0; i < 400; i += 1) {
      const length = Math.floor(random() * (random() < 0.1 ? 150_000 : 300));
      const piece = Buffer.alloc(length, i);
      const head = Buffer.alloc(9);
      head.writeUIntBE(length, 0, 3);
      head.writeUInt32BE(i, 5);
      expected.push(head, piece);
      output.frame(0, i, length);
      output.append(piece);
      if (random() < 0.3) await turns(1);
      if (random() < 0.5) await socket.taken();
    }
    await turns(3);
    await socket.takenAll();
    expect(output.pendingBytes).toBe(0);
    expect(Buffer.concat(socket.writes).equals(Buffer.concat(expected))).toBe(true);
  });
});

describe('blocks', () => {
  test('are used again, by all connections, and no sooner than the socket has taken them', async () => {
    const used = new Set<unknown>();
    for (let i = 0; i < 20; i += 1) {
      const { socket, output } = outputOn(new SlowSocket());
      output.append(Buffer.alloc(10));
      await turns(2);
      output.append(Buffer.alloc(10));
      await socket.takenAll();
      for (const { buffer } of socket.given) used.add(buffer);
      expect(socket.given[0]?.buffer).not.toBe(socket.given[1]?.buffer);
    }
    expect(used.size).toBeLessThanOrEqual(2);
  });

  test('of no more than 4 MiB are kept when much was sent', async () => {
    const { socket, output } = outputOn(new SlowSocket());
    socket.isSlow = false;
    const first = new Set<unknown>();
    output.append(Buffer.alloc(150 * blockBytes));
    await until(() => output.pendingBytes === 0);
    for (const { buffer } of socket.given) first.add(buffer);
    expect(first.size).toBe(150);
    socket.given.length = 0;
    output.append(Buffer.alloc(150 * blockBytes));
    await until(() => output.pendingBytes === 0);
    expect(socket.given.filter(({ buffer }) => first.has(buffer))).toHaveLength(64);
  });

  test('of a connection that is gone are given back, but for the one that is being written', async () => {
    const { socket, output } = outputOn(new SlowSocket());
    output.append(Buffer.alloc(10));
    await turns(3);
    output.append(Buffer.alloc(3 * blockBytes));
    output.drop();
    expect(output.pendingBytes).toBe(10);
    const other = outputOn(new SlowSocket());
    other.output.append(Buffer.alloc(4 * blockBytes));
    await turns(3);
    await other.socket.takenAll();
    expect(other.socket.given.map(({ buffer }) => buffer)).not.toContain(socket.given[0]?.buffer);
    await socket.taken();
    expect(output.pendingBytes).toBe(0);
    expect(socket.writes).toHaveLength(1);
  });
});

describe('congestion', () => {
  test('begins above 256 KiB and ends at 64 KiB, which is told once', async () => {
    const { socket, output, told } = outputOn(new SlowSocket());
    output.append(Buffer.alloc(4 * blockBytes));
    expect(output.congested).toBe(false);
    output.append(Buffer.alloc(1));
    expect(output.congested).toBe(true);
    await turns(3);
    for (const [left, congested] of [
      [196_609, true],
      [131_073, true],
      [65_537, true],
      [1, false],
    ] as const) {
      await socket.taken();
      expect([output.pendingBytes, output.congested]).toEqual([left, congested]);
    }
    expect(told).toEqual({ drains: 1, flushes: 0 });
    await socket.taken();
    expect(told).toEqual({ drains: 1, flushes: 1 });
  });

  test('producers who write as they are told to go on are heard', async () => {
    const socket = new SlowSocket();
    socket.isSlow = false;
    let left = 20;
    const output = new Http2Output(socket, {
      onDrain: () => {
        if ((left -= 1) > 0) output.append(Buffer.alloc(5 * blockBytes));
      },
      onFlushed: () => {},
    });
    output.append(Buffer.alloc(5 * blockBytes));
    await until(() => left === 0);
    await until(() => output.pendingBytes === 0);
    expect(Buffer.concat(socket.writes)).toHaveLength(100 * blockBytes);
  });
});

describe('the end', () => {
  test('comes behind what there is, and nothing behind it', async () => {
    const { socket, output, told } = outputOn(new SlowSocket());
    output.append(Buffer.alloc(blockBytes + 5, 'x'));
    output.end();
    await turns(3);
    await socket.taken();
    expect(socket.ends).toBe(0);
    await socket.taken();
    expect(socket.ends).toBe(1);
    output.append(Buffer.from('too late'));
    output.end();
    await turns(3);
    expect(written(socket)).toBe('x'.repeat(blockBytes + 5));
    expect(output.pendingBytes).toBe(0);
    expect([socket.ends, told.flushes, socket.errored]).toEqual([1, 0, null]);
  });

  test('of one that has nothing to send is at once', async () => {
    const { socket, output } = outputOn(new SlowSocket());
    output.end();
    await turns(3);
    expect([socket.ends, socket.writes.length]).toEqual([1, 0]);
  });

  test('what was said in the turn of the end still goes out', async () => {
    const { socket, output } = outputOn(new SlowSocket());
    output.append(Buffer.from('good'));
    output.end();
    output.append(Buffer.from('bye'));
    await turns(3);
    await socket.takenAll();
    await turns(3);
    expect(written(socket)).toBe('goodbye');
    expect([socket.ends, socket.errored]).toEqual([1, null]);
  });

  test('a write that fails leaves nothing to send', async () => {
    const { socket, output, told } = outputOn(new SlowSocket());
    output.append(Buffer.alloc(5 * blockBytes));
    await turns(3);
    await socket.taken(new Error('EPIPE'));
    expect(output.pendingBytes).toBe(0);
    output.append(Buffer.from('more'));
    await turns(3);
    expect(output.pendingBytes).toBe(0);
    expect([socket.writes.length, told.flushes]).toEqual([1, 0]);
  });

  test('on a socket that was destroyed nothing is written, and nothing thrown', async () => {
    const { socket, output } = outputOn(new SlowSocket());
    socket.destroy();
    output.append(Buffer.from('x'));
    await turns(3);
    output.append(Buffer.from('y'));
    output.end();
    await turns(3);
    expect([socket.writes.length, output.pendingBytes]).toEqual([0, 0]);
  });
});

test('over TLS, 20 MB arrive as they were sent', async () => {
  const { server: identity } = await testPki();
  const accepted = Promise.withResolvers<TLSSocket>();
  const { address } = await listen(
    createServer({ key: identity.privateKeyPem, cert: identity.certificatePem }, accepted.resolve),
  );
  const client = connect({ ...address, rejectUnauthorized: false });
  onTestEnd(() => void client.destroy());
  await once(client, 'secureConnect');
  const socket = await accepted.promise;
  const { output, told } = outputOn(socket);
  const received: Buffer[] = [];
  client.on('data', (chunk: Buffer) => received.push(chunk));
  const random = seededRandom(9);
  const sent: Buffer[] = [];
  for (let bytes = 0; bytes < 20e6;) {
    const piece = Buffer.alloc(Math.floor(random() * 40_000), bytes);
    bytes += piece.length;
    sent.push(Buffer.from(piece));
    output.append(piece);
    // The producer's memory is its own again at once.
    piece.fill(0);
    if (output.congested) {
      const before = told.drains;
      await until(() => told.drains > before);
    }
  }
  output.end();
  await once(client, 'end');
  expect(Buffer.concat(received).equals(Buffer.concat(sent))).toBe(true);
});
