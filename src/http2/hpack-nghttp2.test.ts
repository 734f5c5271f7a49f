import { once } from 'node:events';
import { connect as connectHttp2, createServer as createHttp2Server, sensitiveHeaders } from 'node:http2';
import type {
  OutgoingHttpHeaders,
  SecureClientSessionOptions,
  ServerHttp2Session,
  Settings,
} from 'node:http2';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { huffmanBytes, huffmanWrite } from './testing/huffman-encoder.ts';
import { staticNames, staticValues } from './static-table.ts';
import { RandomFields } from './testing/hpack-random.ts';
import { preface, readFrames, writeBlock, writeTableSize } from './testing/raw-http2.ts';

const noLines: readonly string[] = [];
const pseudo = [':method', 'GET', ':scheme', 'http', ':authority', 'localhost', ':path', '/'];
const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

async function portOf(server: Server): Promise<number> {
  ends.push(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

/** Resolves the promises in the order in which they were asked for, as items come. */
class Arrivals<T> {
  readonly #waiting: PromiseWithResolvers<T>[] = [];

  next(): Promise<T> {
    const waiter = Promise.withResolvers<T>();
    this.#waiting.push(waiter);
    return waiter.promise;
  }

  come(item: T): void {
    this.#waiting.shift()?.resolve(item);
  }

  fail(error: Error): void {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }
}

/** A server of Node, which is nghttp2, and a client of ours that has no more than header blocks. */
async function startNodeServer(settings: Settings, encoder: HpackEncoder) {
  const server = createHttp2Server({ settings });
  const port = await portOf(server);
  const [lists, acks] = [new Arrivals<readonly string[]>(), new Arrivals<null>()];
  const sessions: ServerHttp2Session[] = [];
  server.on('session', (session) => {
    sessions.push(session);
    session.on('localSettings', () => acks.come(null));
  });
  server.on('stream', (stream, _headers, _flags, rawHeaders) => {
    lists.come(rawHeaders);
    stream.on('error', () => undefined);
    stream.respond({ ':status': 200 }, { endStream: true });
  });
  const socket = connect(port, '127.0.0.1');
  ends.push(() => socket.destroy());
  socket.setNoDelay(true);
  let settled = acks.next();
  readFrames(socket, 0, {
    onBlock: () => undefined,
    onTableSize: (bytes) => encoder.setPeerTableBytes(bytes),
    onError: (type, code) => lists.fail(new Error(`nghttp2 refused: frame ${type}, error ${code}`)),
  });
  socket.write(preface);
  writeTableSize(socket);
  await settled;
  let streamId = -1;
  return {
    send: (block: Buffer): Promise<readonly string[]> => {
      const list = lists.next();
      writeBlock(socket, (streamId += 2), block);
      return list;
    },
    resize: async (...sizes: number[]): Promise<void> => {
      for (const headerTableSize of sizes) {
        settled = acks.next();
        sessions[0]?.settings({ headerTableSize });
        await settled;
      }
    },
  };
}

/** A client of Node, and a server of ours that answers each header block with `answer`. */
async function startNodeClient(tableBytes: number) {
  const [blocks, acks] = [new Arrivals<Buffer>(), new Arrivals<null>()];
  let socket: Socket | undefined;
  const answer = { block: Buffer.from([0x88]), read: noLines };
  const server = createServer((accepted) => {
    socket = accepted;
    ends.push(() => accepted.destroy());
    writeTableSize(accepted, tableBytes);
    readFrames(accepted, preface.length, {
      onBlock: (streamId, block) => {
        blocks.come(block);
        writeBlock(accepted, streamId, answer.block);
      },
      onSettingsAck: () => acks.come(null),
      onError: (type, code) => blocks.fail(new Error(`frame ${type}, error ${code}`)),
    });
  });
  const settled = acks.next();
  // The last one is missing in @types/node for clients.
  const options: SecureClientSessionOptions & { strictSingleValueFields: boolean } = {
    maxDeflateDynamicTableSize: 16_384,
    strictSingleValueFields: false,
  };
  const client = connectHttp2(`http://127.0.0.1:${await portOf(server)}`, options);
  ends.push(() => client.destroy());
  await settled;
  return {
    answer,
    send: async (lines: readonly string[] | OutgoingHttpHeaders): Promise<Buffer> => {
      const block = blocks.next();
      const stream = client.request(lines, { endStream: true });
      const closed = once(stream.resume(), 'close');
      stream.on('response', (_headers, _flags, rawHeaders) => (answer.read = rawHeaders));
      await closed;
      return block;
    },
    resize: async (...sizes: number[]): Promise<void> => {
      for (const bytes of sizes) {
        if (!socket) throw new Error('no connection');
        const acked = acks.next();
        writeTableSize(socket, bytes);
        await acked;
      }
    },
  };
}

describe('what nghttp2 encodes', () => {
  test.each([
    [31, 4096],
    [32, 200],
    [33, 16_384],
  ])('600 lists on one connection, seed %i, a table of %i', async (seed, tableBytes) => {
    const fields = new RandomFields(seed);
    const { send, resize } = await startNodeClient(tableBytes);
    const decoder = new HpackDecoder({ maxTableBytes: 16_384, maxListBytes: 1 << 20 });
    let literals = 0;
    for (let i = 1; i <= 600; i += 1) {
      if (i % 100 === 0)
        await resize(...([[0, 4096], [100], [16_384], [300, 50, 1000]][(i / 100) % 4] ?? []));
      const lines = [...pseudo, ...fields.lines()];
      const block = await send(lines);
      literals += block.length;
      expect(decoder.decode(block)).toEqual(lines);
    }
    expect(literals).toBeGreaterThan(100_000);
  });

  test('fields that are never to be indexed', async () => {
    const { send } = await startNodeClient(4096);
    const decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1 << 20 });
    for (let i = 0; i < 2; i += 1) {
      const block = await send({ 'x-secret': 'open sesame', [sensitiveHeaders]: ['x-secret'] });
      expect(decoder.decode(block)?.slice(-2)).toEqual(['x-secret', 'open sesame']);
      expect(block.includes(0x10)).toBe(true);
    }
  });

  test('every byte in Huffman code, but NUL', async () => {
    const { send } = await startNodeClient(4096);
    const decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1 << 20 });
    for (let code = 1; code < 256; code += 1) {
      // Among letters of five bits, as nghttp2 takes the shorter form.
      const lines = [...pseudo, 'x-a', `${'a'.repeat(20)}${String.fromCharCode(code)}${'e'.repeat(20)}`];
      const block = await send(lines);
      expect(block.length).toBeLessThan(60);
      expect(decoder.decode(block)).toEqual(lines);
    }
  });
});

describe('what nghttp2 decodes', () => {
  test.each([
    [41, 4096],
    [42, 200],
    [43, 16_384],
  ])('600 lists on one connection, seed %i, a table of %i', async (seed, headerTableSize) => {
    const fields = new RandomFields(seed);
    const encoder = new HpackEncoder({ maxTableBytes: 16_384 });
    const { send, resize } = await startNodeServer({ headerTableSize }, encoder);
    for (let i = 1; i <= 600; i += 1) {
      if (i % 100 === 0)
        await resize(...([[0, 4096], [100], [16_384], [300, 50, 1000]][(i / 100) % 4] ?? []));
      const lines = [...pseudo, ...fields.lines()];
      expect(await send(encoder.encode(lines))).toEqual(lines);
    }
  });

  test('every byte that a value may have, in Huffman code', async () => {
    const { send } = await startNodeServer({}, new HpackEncoder());
    const start = Buffer.from(new HpackEncoder({ maxTableBytes: 0 }).encode(pseudo));
    for (let code = 9; code < 256; code = code === 9 ? 0x20 : code === 0x7e ? 0x80 : code + 1) {
      const value = `a${String.fromCharCode(code)}b`;
      const field = Buffer.alloc(4 + huffmanBytes(value));
      field.write('\x00\x01x', 'latin1');
      field[3] = 0x80 | huffmanBytes(value);
      huffmanWrite(value, field, 4);
      expect(await send(Buffer.concat([start, field]))).toEqual([...pseudo, 'x', value]);
    }
  });

  test('a block that is wrong is refused, so that these tests can fail', async () => {
    const { send } = await startNodeServer({}, new HpackEncoder());
    await expect(send(Buffer.from([0xbe]))).rejects.toThrow('error 9');
  });
});

describe('the static table', () => {
  test('its names and values in requests', async () => {
    const { send } = await startNodeServer({}, new HpackEncoder());
    const lineOf = (index: number) => [staticNames[index], staticValues[index]];
    // The authority is the one entry with a name only that is not a plain field.
    const authority = [0x01, 1, 0x61];
    for (const indexes of [
      [2, 4, 6],
      [3, 5, 7],
    ]) {
      const block = Buffer.from([...indexes.map((index) => 0x80 | index), ...authority]);
      expect(await send(block)).toEqual([...indexes.flatMap(lineOf), ':authority', 'a']);
    }
    for (let index = 15; index <= 61; index += 1) {
      // Node wants to see a number, a known expectation, and no field of a connection.
      if (['expect', 'host', 'transfer-encoding', 'content-length'].includes(staticNames[index] ?? ''))
        continue;
      const block = Buffer.from([0x82, 0x84, 0x86, ...authority, 0x80 | index]);
      expect((await send(block)).slice(8)).toEqual(lineOf(index));
    }
  });

  test('its statuses in answers', async () => {
    const { send, answer } = await startNodeClient(4096);
    for (let index = 8; index <= 14; index += 1) {
      answer.block = Buffer.from([0x80 | index]);
      await send(pseudo);
      expect(answer.read).toEqual([staticNames[index], staticValues[index]]);
    }
  });
});
