import { describe, expect, test } from 'vitest';
import { frame } from '../net/testing/http2-frames.ts';
import { FrameReader } from './frame-reader.ts';
import { defaultMaxFrameBytes, errorCode } from './frame.ts';
import { seededRandom } from './testing/hpack-random.ts';

interface Seen {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: string;
}

function reading(): { reader: FrameReader; seen: Seen[] } {
  const seen: Seen[] = [];
  const reader = new FrameReader(({ type, flags, streamId }, payload) => {
    const text = payload.toString('latin1');
    const before = seen.at(-1);
    // Parts of a DATA frame; none but the last may end the stream.
    if (before?.type === 0 && type === 0 && before.streamId === streamId && (before.flags & 1) === 0)
      seen[seen.length - 1] = { type, flags, streamId, payload: before.payload + text };
    else seen.push({ type, flags, streamId, payload: text });
  });
  return { reader, seen };
}

const aSequence = Buffer.concat([
  frame(4, 0),
  frame(6, 1, { payload: Buffer.from('12345678') }),
  frame(0, 0, { stream: 1, payload: Buffer.from('x') }),
  frame(4, 1),
  frame(4, 1),
  frame(255, 255, { stream: 2 ** 31 - 1, payload: Buffer.alloc(300, 'y') }),
  frame(0, 1, { stream: 3 }),
]);

const whole = (bytes: Buffer): Seen[] => {
  const { reader, seen } = reading();
  reader.read(Buffer.from(bytes));
  return seen;
};

describe('the pieces in which frames come do not matter', () => {
  test('all in one', () => {
    expect(
      whole(aSequence).map(({ type, flags, streamId, payload }) => [type, flags, streamId, payload.length]),
    ).toEqual([
      [4, 0, 0, 0],
      [6, 1, 0, 8],
      [0, 0, 1, 1],
      [4, 1, 0, 0],
      [4, 1, 0, 0],
      [255, 255, 2 ** 31 - 1, 300],
      [0, 1, 3, 0],
    ]);
  });

  test('cut in two at each place', () => {
    const expected = whole(aSequence);
    for (let at = 0; at <= aSequence.length; at += 1) {
      const { reader, seen } = reading();
      reader.read(Buffer.from(aSequence.subarray(0, at)));
      reader.read(Buffer.from(aSequence.subarray(at)));
      expect(seen, `cut at ${at}`).toEqual(expected);
    }
  });

  test('cut in three at each two places of what has all kinds of frames', () => {
    const short = aSequence.subarray(0, 55);
    const expected = whole(short);
    for (let first = 0; first <= short.length; first += 1) {
      for (let second = first; second <= short.length; second += 1) {
        const { reader, seen } = reading();
        for (const part of [short.subarray(0, first), short.subarray(first, second), short.subarray(second)])
          reader.read(Buffer.from(part));
        expect(seen).toEqual(expected);
      }
    }
  });

  test('byte by byte, and empty pieces', () => {
    const { reader, seen } = reading();
    for (const byte of aSequence) {
      reader.read(Buffer.alloc(0));
      reader.read(Buffer.from([byte]));
    }
    expect(seen).toEqual(whole(aSequence));
  });

  test('random frames in random pieces', () => {
    const random = seededRandom(1);
    const below = (count: number) => Math.floor(random() * count);
    for (let round = 0; round < 100; round += 1) {
      const all = Buffer.concat(
        Array.from({ length: 1 + below(12) }, () => {
          const length = random() < 0.2 ? below(defaultMaxFrameBytes + 1) : below(40);
          const payload = Buffer.alloc(length, below(256));
          return frame(below(256), below(256), { stream: below(2 ** 31), payload });
        }),
      );
      const { reader, seen } = reading();
      const most = random() < 0.5 ? 20 : 8_000;
      for (let at = 0; at < all.length;) {
        const next = at + 1 + below(most);
        reader.read(Buffer.from(all.subarray(at, next)));
        at = next;
      }
      expect(seen).toEqual(whole(all));
    }
  });
});

test('the reserved bit of a stream’s number is not looked at', () => {
  const bytes = frame(0, 0, { stream: 5 });
  bytes.writeUInt32BE(0x80000005, 5);
  expect(whole(bytes)[0]?.streamId).toBe(5);
});

describe('what is too large', () => {
  const tooLarge = frame(0, 0, { stream: 1, payload: Buffer.alloc(defaultMaxFrameBytes + 1) });

  test('the largest that may be is read', () => {
    expect(whole(frame(0, 0, { stream: 1, payload: Buffer.alloc(defaultMaxFrameBytes) }))).toHaveLength(1);
  });

  test.each([
    ['whole', [tooLarge]],
    ['its head alone', [tooLarge.subarray(0, 9)]],
    ['its head byte by byte', Array.from({ length: 9 }, (_, i) => tooLarge.subarray(i, i + 1))],
    ['behind another', [Buffer.concat([frame(4, 0), tooLarge.subarray(0, 9)])]],
    [
      'its head behind half of another',
      [frame(4, 0).subarray(0, 5), Buffer.concat([frame(4, 0).subarray(5), tooLarge])],
    ],
  ])('is refused before its payload is there: %s', (_, pieces) => {
    const { reader } = reading();
    expect(() => {
      for (const piece of pieces) reader.read(piece);
    }).toThrow(expect.objectContaining({ code: errorCode.frameSizeError }));
  });
});

describe('what is kept', () => {
  const payloadsOf = (pieces: readonly Buffer[]): Buffer[] => {
    const payloads: Buffer[] = [];
    const reader = new FrameReader((_, payload) => payloads.push(payload));
    for (const piece of pieces) reader.read(piece);
    return payloads;
  };

  test('a frame that came whole is not copied', () => {
    const bytes = frame(0, 0, { stream: 1, payload: Buffer.alloc(100) });
    expect(payloadsOf([bytes])[0]?.buffer).toBe(bytes.buffer);
  });

  test('DATA goes on as it comes, uncopied, and its last part alone can end the stream', () => {
    const bytes = frame(0, 1, { stream: 1, payload: Buffer.from('abcdef') });
    const seen: [number, string][] = [];
    const buffers: ArrayBufferLike[] = [];
    const reader = new FrameReader(({ type, flags }, payload) => {
      if (type !== 0) return;
      seen.push([flags, payload.toString()]);
      buffers.push(payload.buffer);
    });
    const pieces = [bytes.subarray(0, 9), bytes.subarray(9, 11), bytes.subarray(11, 12), bytes.subarray(12)];
    for (const piece of pieces) reader.read(piece);
    reader.read(frame(4, 0));
    expect(seen).toEqual([
      [0, 'ab'],
      [0, 'c'],
      [1, 'def'],
    ]);
    expect(new Set(buffers)).toEqual(new Set([bytes.buffer]));
  });

  test('DATA with padding is put together: where its bytes end stands at its end', () => {
    const bytes = frame(0, 8, { stream: 1, payload: Buffer.from([2, 1, 1, 0, 0]) });
    expect(payloadsOf([bytes.subarray(0, 11), bytes.subarray(11)])).toEqual([Buffer.from([2, 1, 1, 0, 0])]);
  });

  test('one that came in pieces has its own bytes', () => {
    const bytes = Buffer.alloc(60_000);
    frame(1, 0, { stream: 1, payload: Buffer.alloc(10_000, 1) }).copy(bytes);
    frame(1, 0, { stream: 1, payload: Buffer.alloc(10_000, 2) }).copy(bytes, 10_009);
    const [first, second] = payloadsOf([
      Buffer.from(bytes.subarray(0, 5_000)),
      bytes.subarray(5_000, 20_018),
    ]);
    expect(first?.equals(Buffer.alloc(10_000, 1))).toBe(true);
    expect(first?.buffer).not.toBe(bytes.buffer);
    expect(second?.equals(Buffer.alloc(10_000, 2))).toBe(true);
  });

  test('the few bytes at the end of a large piece do not keep it', () => {
    const large = Buffer.concat([
      frame(1, 0, { stream: 1, payload: Buffer.alloc(16_000) }),
      frame(1, 0, { stream: 1, payload: Buffer.alloc(4_000, 7) }).subarray(0, 100),
    ]);
    const payloads: Buffer[] = [];
    const reader = new FrameReader((_, payload) => payloads.push(payload));
    reader.read(large);
    // Whoever has kept a view of it would see this.
    large.fill(0xff);
    reader.read(Buffer.alloc(3_909, 7));
    expect(payloads[1]?.equals(Buffer.alloc(4_000, 7))).toBe(true);
  });

  test('of a frame that comes byte by byte not many pieces are held', () => {
    const bytes = frame(1, 0, { stream: 1, payload: Buffer.alloc(2_000, 5) });
    const pieces = Array.from(bytes, (byte) => Buffer.from([byte]));
    const payloads: Buffer[] = [];
    const reader = new FrameReader((_, payload) => payloads.push(payload));
    for (const piece of pieces.slice(0, -1)) reader.read(piece);
    // What was put together is a copy; what still is a piece of its own is not.
    for (const piece of pieces.slice(0, -66)) piece.fill(9);
    reader.read(pieces.at(-1) ?? Buffer.alloc(0));
    expect(payloads[0]?.equals(Buffer.alloc(2_000, 5))).toBe(true);
  });
});

test('what the listener throws ends the reading', () => {
  let calls = 0;
  const reader = new FrameReader(() => {
    calls += 1;
    throw new Error('enough');
  });
  expect(() => reader.read(aSequence)).toThrow('enough');
  expect(calls).toBe(1);
});
