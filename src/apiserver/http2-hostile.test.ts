import { describe, expect, test } from 'vitest';
import { frame, uint32 } from '../net/testing/http2-frames.ts';
import type { Exchange } from './exchange.ts';
import type { Listener } from './listener.ts';
import { startListener } from './testing/served.ts';
import {
  connectRawHttp2,
  frameTypes,
  goawayOf,
  headerBlock,
  request,
  resetStream,
} from './testing/raw-http2-client.ts';
import type { RawHttp2Client } from './testing/raw-http2-client.ts';
import { withVictim } from './testing/victim.ts';

const enhanceYourCalm = 11;

/** Answers everything but `/held`, which it holds. */
function handler(as: Exchange['connection']['caller'] = 'unknown') {
  const targets: string[] = [];
  const handle = (exchange: Exchange) => {
    targets.push(exchange.target);
    exchange.connection.caller = as;
    if (exchange.target !== '/held') exchange.respond(200, [], 'ok');
  };
  return { targets, handle };
}

/** Attacks with a connection of its own while a victim calls; says what became of the attacker's connection. */
async function attacked(listener: Listener, attack: (client: RawHttp2Client) => Promise<void>) {
  const before = process.memoryUsage().rss;
  const client = await connectRawHttp2({ port: listener.port });
  try {
    const victim = await withVictim(listener.port, () => attack(client));
    expect(victim.failed).toBe(0);
    expect(victim.requests).toBeGreaterThan(3);
    expect(victim.slowestMs).toBeLessThan(1_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(150e6);
    const said = client.received.find(({ type }) => type === frameTypes.goaway);
    return { ended: await client.ended(300), goaway: said && goawayOf(said).code };
  } finally {
    client.close();
  }
}

const many = (count: number, make: (i: number) => Buffer) => Array.from({ length: count }, (_, i) => make(i));
const held = (stream: number) => request(stream, { path: '/held' });

describe('rapid reset (CVE-2023-44487)', () => {
  const reset = async (client: RawHttp2Client, count: number) => {
    for (let i = 0; i < count; i += 500) {
      await client.send(
        ...many(500, (j) => Buffer.concat([held(1 + 2 * (i + j)), resetStream(1 + 2 * (i + j))])),
      );
    }
  };

  test('10,000 HEADERS and RST_STREAM of somebody unknown end the connection at once', async () => {
    const { targets, handle } = handler();
    const listener = await startListener(handle);
    const seen = await attacked(listener, (client) => reset(client, 10_000));
    expect(seen).toEqual({ ended: true, goaway: enhanceYourCalm });
    expect(targets.filter((target) => target === '/held').length).toBeLessThan(2_000);
  });

  test('a known caller may reset more, and not without bound', async () => {
    const { handle } = handler('authenticated');
    const limits = {
      resets: { unknown: { burst: 1, perSecond: 0 }, authenticated: { burst: 2_000, perSecond: 0 } },
    };
    const listener = await startListener(handle, { limits });
    expect(await attacked(listener, (client) => reset(client, 1_500))).toEqual({
      ended: false,
      goaway: undefined,
    });
    expect(await attacked(listener, (client) => reset(client, 3_000))).toEqual({
      ended: true,
      goaway: enhanceYourCalm,
    });
  });

  test('those of a known caller are begun some at a time, and what is reset by then is not begun', async () => {
    const { targets, handle } = handler('authenticated');
    const listener = await startListener((exchange) => {
      handle(exchange);
      // What it takes to authenticate, authorize and proxy a request.
      const until = performance.now() + 0.3;
      while (exchange.target === '/held' && performance.now() < until);
    });
    await attacked(listener, async (client) => {
      await reset(client, 10_000);
      await client.send(request(20_001));
      expect(
        await client.next(({ type, stream }) => type === frameTypes.headers && stream === 20_001),
      ).toBeDefined();
    });
    expect(targets.filter((target) => target === '/held').length).toBeLessThan(5_000);
  });

  test("users who abort much through the hub's one connection end no stream of another user", async () => {
    const { handle } = handler('frontProxy');
    const listener = await startListener(handle);
    const client = await connectRawHttp2({ port: listener.port });
    await client.send(held(1));
    const victim = await withVictim(listener.port, async () => {
      for (let i = 1; i < 12_000; i += 500) {
        await client.send(
          ...many(500, (j) => Buffer.concat([held(1 + 2 * (i + j)), resetStream(1 + 2 * (i + j))])),
        );
      }
    });
    expect(victim.failed).toBe(0);
    await client.send(request(30_001));
    expect(
      await client.next(({ type, stream }) => type === frameTypes.headers && stream === 30_001),
    ).toBeDefined();
    expect(client.received.some(({ type }) => type === frameTypes.goaway || type === frameTypes.reset)).toBe(
      false,
    );
    client.close();
  });
});

describe('floods of frames', () => {
  const start = headerBlock([
    [':method', 'GET'],
    [':scheme', 'https'],
    [':path', '/flooded'],
  ]);
  const opened = (client: RawHttp2Client) => client.send(held(1));
  const flood = async (client: RawHttp2Client, make: (i: number) => Buffer) => {
    for (let i = 0; i < 50; i += 1) await client.send(...many(1_000, (j) => make(i * 1_000 + j)));
  };

  test.each<[string, (client: RawHttp2Client) => Promise<void>]>([
    [
      'CONTINUATION frames without an end (CVE-2024-27983)',
      async (client) => {
        await client.send(frame(frameTypes.headers, 0, { stream: 1, payload: start }));
        await flood(client, () =>
          frame(frameTypes.continuation, 0, { stream: 1, payload: headerBlock([['x', 'y']]) }),
        );
      },
    ],
    [
      'empty CONTINUATION frames',
      async (client) => {
        await client.send(frame(frameTypes.headers, 0, { stream: 1, payload: start }));
        await flood(client, () => frame(frameTypes.continuation, 0, { stream: 1 }));
      },
    ],
    [
      'PING (CVE-2019-9512)',
      (client) => flood(client, () => frame(frameTypes.ping, 0, { payload: Buffer.alloc(8) })),
    ],
    ['SETTINGS (CVE-2019-9515)', (client) => flood(client, () => frame(frameTypes.settings, 0))],
    [
      'PRIORITY (CVE-2019-9513)',
      (client) =>
        flood(client, (i) =>
          frame(frameTypes.priority, 0, { stream: 1 + 2 * i, payload: Buffer.from([0, 0, 0, 0, 16]) }),
        ),
    ],
    [
      'empty DATA (CVE-2019-9518)',
      async (client) => {
        await client.send(request(1, { path: '/held', method: 'POST', endStream: false }));
        await flood(client, () => frame(frameTypes.data, 0, { stream: 1 }));
      },
    ],
    ['frames of no known type', (client) => flood(client, () => frame(99, 0))],
  ])('%s end the connection that sends them, and no other', async (_, attack) => {
    const { targets, handle } = handler();
    const listener = await startListener(handle);
    expect(await attacked(listener, attack)).toMatchObject({ ended: true });
    expect(targets).not.toContain('/flooded');
    await expect.poll(() => listener.connections()).toEqual({ http2: 0, http1: 0 });
  });

  test.each<[string, (client: RawHttp2Client) => Promise<void>]>([
    [
      'GOAWAY',
      async (client) => {
        await opened(client);
        await flood(client, () =>
          frame(frameTypes.goaway, 0, { payload: Buffer.concat([uint32(0), uint32(0)]) }),
        );
      },
    ],
    [
      'WINDOW_UPDATE of the connection',
      (client) => flood(client, () => frame(frameTypes.windowUpdate, 0, { payload: uint32(1) })),
    ],
    [
      'WINDOW_UPDATE of a stream that is over',
      async (client) => {
        await client.send(request(1));
        await flood(client, () => frame(frameTypes.windowUpdate, 0, { stream: 1, payload: uint32(1) }));
      },
    ],
  ])('%s: no other connection notices', async (_, attack) => {
    const listener = await startListener(handler().handle);
    await attacked(listener, attack);
    await expect.poll(() => listener.connections()).toEqual({ http2: 0, http1: 0 });
  });
});

describe('frames that break rules', () => {
  test('WINDOW_UPDATE beyond the largest window ends the connection and leaves nothing (CVE-2026-21714)', async () => {
    const listener = await startListener(handler().handle);
    for (let i = 0; i < 20; i += 1) {
      const client = await connectRawHttp2({ port: listener.port });
      await client.send(
        held(1),
        ...many(100, () => frame(frameTypes.windowUpdate, 0, { payload: uint32(2 ** 31 - 1) })),
      );
      expect(await client.ended()).toBe(true);
    }
    await expect.poll(() => listener.connections()).toEqual({ http2: 0, http1: 0 });
  });

  test('HEADERS that cannot be decoded end the connection, and the process lives (CVE-2025-59465)', async () => {
    const listener = await startListener(handler().handle);
    const seen = await attacked(listener, async (client) => {
      await client.send(frame(frameTypes.headers, 5, { stream: 1, payload: Buffer.alloc(64, 0xff) }));
      client.close();
    });
    expect(seen.ended).toBe(true);
  });

  test('after the GOAWAY of the client its connection ends with its last stream (CVE-2026-48937)', async () => {
    const exchanges: Exchange[] = [];
    const listener = await startListener((exchange) => exchanges.push(exchange));
    const client = await connectRawHttp2({ port: listener.port });
    await client.send(
      held(1),
      frame(frameTypes.goaway, 0, { payload: Buffer.concat([uint32(0), uint32(0)]) }),
    );
    await expect.poll(() => exchanges.length).toBe(1);
    exchanges[0]?.respond(200, [], 'ok');
    expect(await client.ended()).toBe(true);
    await expect.poll(() => listener.connections().http2).toBe(0);
  });

  test.each<[string, (readonly [string, string])[]]>([
    ['connection', [['connection', 'close']]],
    ['transfer-encoding', [['transfer-encoding', 'chunked']]],
    ['upgrade', [['upgrade', 'h2c']]],
    ['keep-alive', [['keep-alive', 'timeout=5']]],
    ['proxy-connection', [['proxy-connection', 'close']]],
    ['te other than trailers', [['te', 'gzip']]],
    ['a name in upper case', [['X-Upper', '1']]],
    [
      'two lengths',
      [
        ['content-length', '1'],
        ['content-length', '2'],
      ],
    ],
    ['a length that is none', [['content-length', '+5']]],
    [
      'two hosts',
      [
        ['host', 'a'],
        ['host', 'b'],
      ],
    ],
    ['a second path', [[':path', '/other']]],
    ['an unknown pseudo header', [[':admin', '1']]],
    [
      'a pseudo header behind others',
      [
        ['x', '1'],
        [':scheme', 'https'],
      ],
    ],
  ])('a request with %s is refused and never handled', async (_, headers) => {
    const { targets, handle } = handler();
    const listener = await startListener(handle);
    const client = await connectRawHttp2({ port: listener.port });
    await client.send(request(1, { headers }), request(3, { path: '/after' }));
    expect(await client.next(({ type, stream }) => type === frameTypes.reset && stream === 1)).toBeDefined();
    await expect.poll(() => targets).toEqual(['/after']);
    client.close();
  });

  test('a body of another length than was said breaks, and does not end', async () => {
    const seen: string[] = [];
    const listener = await startListener(({ body }) => {
      body?.on('data', () => seen.push('data'));
      body?.on('end', () => seen.push('end'));
      body?.on('error', () => seen.push('error'));
    });
    const client = await connectRawHttp2({ port: listener.port });
    await client.send(
      request(1, { method: 'POST', endStream: false, headers: [['content-length', '5']] }),
      frame(frameTypes.data, 1, { stream: 1, payload: Buffer.from('xx') }),
    );
    await expect.poll(() => seen).toContain('error');
    expect(seen).not.toContain('end');
    client.close();
  });

  test.each(['a\nb', 'a\r\nhost: x', 'a\0', ' a', 'a\t'])(
    'a request with a value that none can be (%j) is refused, and nothing of it reaches anybody',
    async (value) => {
      const { targets, handle } = handler();
      const listener = await startListener(handle);
      const client = await connectRawHttp2({ port: listener.port });
      await client.send(request(1, { headers: [['x', value]] }), request(3, { path: '/after' }));
      expect(
        await client.next(({ type, stream }) => type === frameTypes.reset && stream === 1),
      ).toBeDefined();
      await expect.poll(() => targets).toEqual(['/after']);
      client.close();
    },
  );
});

describe('large heads', () => {
  const inFrames = (stream: number, block: Buffer, size = 16 * 1024) => {
    const parts = Array.from({ length: Math.ceil(block.length / size) }, (_, i) =>
      block.subarray(i * size, (i + 1) * size),
    );
    return parts.map((payload, i) =>
      frame(
        i === 0 ? frameTypes.headers : frameTypes.continuation,
        (i === 0 ? 1 : 0) | (i === parts.length - 1 ? 4 : 0),
        {
          stream,
          payload,
        },
      ),
    );
  };
  const lines = (more: readonly (readonly [string, string])[]) =>
    headerBlock([
      [':method', 'GET'],
      [':scheme', 'https'],
      [':authority', 'x'],
      [':path', '/large'],
      ...more,
    ]);

  test('of 900 KiB get through, in frames of 16 KiB', async () => {
    const { targets, handle } = handler();
    const listener = await startListener(handle);
    const client = await connectRawHttp2({ port: listener.port });
    const block = lines(Array.from({ length: 900 }, (_, i) => [`x-${i}`, 'v'.repeat(1000)] as const));
    await client.send(...inFrames(1, block));
    expect(await client.next(({ type }) => type === frameTypes.headers)).toBeDefined();
    expect(targets).toEqual(['/large']);
    client.close();
  });

  test('beyond 1 MiB are refused, alone, however often they come (HPACK bomb: 1 byte each for 4,000)', async () => {
    const { targets, handle } = handler('frontProxy');
    const listener = await startListener(handle);
    const client = await connectRawHttp2({ port: listener.port });
    await client.send(held(1));
    const before = process.memoryUsage().rss;
    // Literal with indexing puts a line of 4,000 bytes into the table (RFC 7541 6.2.1); each byte 0xbe is that line again.
    const long = Buffer.concat([Buffer.from([0x40]), headerBlock([['bomb', 'b'.repeat(4000)]]).subarray(1)]);
    for (let i = 0; i < 200; i += 1) {
      const block = Buffer.concat([lines([]), long, Buffer.alloc(60_000, 0xbe)]);
      await client.send(...inFrames(3 + 2 * i, block));
    }
    await client.send(request(1_001));
    expect(
      await client.next(({ type, stream }) => type === frameTypes.headers && stream === 1_001),
    ).toBeDefined();
    expect(targets).toEqual(['/held', '/']);
    // 431, which is a line of the table from the second on.
    const refused = client.received.filter(
      ({ type, stream }) => type === frameTypes.headers && stream < 1_001,
    );
    expect(refused).toHaveLength(200);
    expect(process.memoryUsage().rss - before).toBeLessThan(150e6);
    client.close();
  });

  test('of more lines than a user can have are refused for their size alone', async () => {
    const { targets, handle } = handler();
    const listener = await startListener(handle);
    const client = await connectRawHttp2({ port: listener.port });
    await client.send(...inFrames(1, lines(Array.from({ length: 28_000 }, () => ['a', 'b'] as const))));
    expect(await client.next(({ type }) => type === frameTypes.headers)).toBeDefined();
    expect(targets).toEqual(['/large']);
    client.close();
  });
});
