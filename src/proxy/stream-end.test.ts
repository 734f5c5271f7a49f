import { PassThrough, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FakeExchange } from '../apiserver/testing/fake-exchange.ts';
import { SpreadEnds } from '../base/spread-ends.ts';
import { finishBetweenLines } from './stream-end.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

/** A stream that is carried to a caller who reads, or does not. */
function carried({ reads = true } = {}) {
  const body = new PassThrough();
  const told: string[] = [];
  const exchange = new FakeExchange();
  const finish = vi.spyOn(exchange, 'finish');
  const abort = vi.spyOn(exchange, 'abort');
  const streams = new SpreadEnds();
  body.pipe(
    new Writable({
      highWaterMark: 1,
      write: (chunk: Buffer, _, done) => {
        told.push(chunk.toString());
        if (reads) done();
      },
    }),
  );
  finishBetweenLines(exchange, body, streams);
  const write = async (text: string) => {
    body.write(text);
    await new Promise((resolve) => setImmediate(resolve));
  };
  const end = () => {
    streams.endAll(0);
    vi.advanceTimersByTime(0);
  };
  return { exchange, finish, abort, streams, told, write, end };
}

describe('the end of a proxied stream', () => {
  test('comes behind the line that is on its way', async () => {
    const { finish, write, end, told } = carried();
    await write('{"a":');
    end();
    await write('1');
    expect(finish).not.toHaveBeenCalled();
    await write('}\n');
    expect(finish).toHaveBeenCalledOnce();
    expect(told.join('')).toBe('{"a":1}\n');
  });

  test('comes soon where nothing is on its way', async () => {
    const { finish, write, end } = carried();
    await write('{}\n');
    end();
    expect(finish).not.toHaveBeenCalled();
    vi.advanceTimersByTime(100);
    expect(finish).toHaveBeenCalledOnce();
  });

  test('is a cut where a line has no end', async () => {
    const { abort, finish, write, end } = carried();
    end();
    for (let i = 0; i < 40; i += 1) {
      await write('x');
      vi.advanceTimersByTime(60);
    }
    expect(abort).toHaveBeenCalledOnce();
    expect(finish).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('is a cut where the caller does not read', async () => {
    const { abort, finish, write, end } = carried({ reads: false });
    await write('{"a":');
    await write('1}\n');
    end();
    vi.advanceTimersByTime(100);
    expect(abort).toHaveBeenCalledOnce();
    expect(finish).not.toHaveBeenCalled();
  });

  test('is forgotten when the stream has ended before', () => {
    const { exchange, finish, streams, end } = carried();
    exchange.end();
    expect(streams.size).toBe(0);
    end();
    vi.advanceTimersByTime(5_000);
    expect(finish).not.toHaveBeenCalled();
  });
});
