import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { startRawHttp2, frames } from './testing/raw-http2.ts';
import { eventually, startHttp2 } from './testing/servers.ts';
import { get, textOf, transportTo } from './testing/transports.ts';

describe('an upload that is cut short', () => {
  test.each(['its caller goes away', 'its body breaks'])(
    'never looks whole at the target: %s',
    async (how) => {
      const seen: string[] = [];
      const { server, address } = await startHttp2();
      server.on('request', (request: Http2ServerRequest) => {
        request.on('data', (chunk: Buffer) => seen.push(chunk.toString()));
        request.on('end', () => seen.push('end'));
        request.on('aborted', () => seen.push('aborted'));
        request.on('error', () => {});
      });
      const transport = await transportTo(address);
      const controller = new AbortController();
      const body = new Readable({ read() {} });
      body.push('half');
      const answer = transport.request(get('/', { method: 'POST', body, signal: controller.signal }));
      answer.catch(() => undefined);
      await eventually(() => seen.length > 0);
      if (how === 'its body breaks') body.destroy(new Error('broken'));
      else controller.abort();
      await expect(answer).rejects.toThrow();
      await eventually(() => seen.includes('aborted'));
      // Node says 'end' after that, too; before it, it would mean END_STREAM.
      expect(seen.slice(0, 2)).toEqual(['half', 'aborted']);
    },
  );
});

describe('a kept connection that the target closes as a request is on its way', () => {
  /** Answers the first stream of its first connection, and closes every connection at the next. */
  const startClosing = (closes: number) => {
    let closed = 0;
    return startRawHttp2((socket, stream) => {
      if (stream > 1 && closed < closes) {
        closed += 1;
        socket.destroy();
        return;
      }
      socket.write(Buffer.concat([frames.ok(stream), frames.data(stream, `answer ${stream}`, true)]));
    });
  };

  test('a GET is sent again on a new one', async () => {
    const { address, accepted } = await startClosing(1);
    const transport = await transportTo(address);
    expect(await textOf(await transport.request(get('/')))).toBe('answer 1');
    expect(await textOf(await transport.request(get('/')))).toBe('answer 1');
    expect(accepted()).toBe(2);
  });

  test('a POST is not: it may have been acted on', async () => {
    const { address } = await startClosing(1);
    const transport = await transportTo(address);
    await textOf(await transport.request(get('/')));
    await expect(transport.request(get('/', { method: 'POST' }))).rejects.toThrow('EOF');
  });

  test('a target that closes every connection at its first request is not asked for ever', async () => {
    const { address, accepted } = await startRawHttp2((socket) => socket.destroy());
    const transport = await transportTo(address);
    await expect(transport.request(get('/'))).rejects.toThrow();
    expect(accepted()).toBe(1);
  });
});

test('an answer whose end is cut after its head is not repeated', async () => {
  let requests = 0;
  const { server, address } = await startHttp2();
  server.on('request', (_: Http2ServerRequest, response: Http2ServerResponse) => {
    requests += 1;
    response.write('half');
    setTimeout(() => response.stream.session?.destroy(), 20);
  });
  const transport = await transportTo(address);
  await expect(textOf(await transport.request(get('/')))).rejects.toThrow();
  expect(requests).toBe(1);
});
