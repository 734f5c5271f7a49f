import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { frames, startRawHttp2 } from './testing/raw-http2.ts';
import { failureOf } from './testing/streams.ts';
import { startHttp2, startHttps } from './testing/servers.ts';
import { get, textOf, transportTo } from './testing/transports.ts';

async function answered(path = '/') {
  const { server, address } = await startHttp2();
  server.on('stream', (stream, headers) => {
    if (headers[':path'] === '/trailers') {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1' }));
      stream.end('body');
    } else if (headers[':path'] === '/half') {
      stream.respond({ ':status': 200 });
      stream.write('half');
    } else {
      stream.respond({ ':status': 200 });
      stream.end('body');
    }
  });
  const transport = await transportTo(address);
  return { transport, response: await transport.request(get(path)) };
}

test('an answer that is here can be taken in one piece, once', async () => {
  const { response, transport } = await answered();
  await sleep(50);
  expect(response.takeWhole?.()?.toString()).toBe('body');
  expect(response.takeWhole?.()).toBeUndefined();
  // Its place is free.
  expect(await textOf(await transport.request(get('/')))).toBe('body');
});

test('several pieces are put together, and none at all is an empty one', async () => {
  const { address } = await startRawHttp2((socket, stream) => {
    const pieces = ['a', 'b', 'c'].map((text) => frames.data(stream, text));
    socket.write(Buffer.concat([frames.ok(stream), ...pieces, frames.data(stream, '', true)]));
  });
  const transport = await transportTo(address);
  const response = await transport.request(get('/'));
  expect(response.takeWhole?.()?.toString()).toBe('abc');
  const { server, address: other } = await startHttp2();
  server.on('stream', (stream) => stream.respond({ ':status': 204 }, { endStream: true }));
  const empty = await (await transportTo(other)).request(get('/'));
  expect(empty.takeWhole?.()).toHaveLength(0);
});

test.each([
  ['that has trailers', '/trailers'],
  ['of which the half is here', '/half'],
])('an answer %s cannot', async (_, path) => {
  const { response } = await answered(path);
  await sleep(50);
  expect(response.takeWhole?.()).toBeUndefined();
  response.body.destroy();
});

test('an answer that somebody reads cannot', async () => {
  const { response } = await answered();
  await sleep(50);
  const { body } = response;
  expect(response.takeWhole?.()).toBeUndefined();
  expect((await buffer(body)).toString()).toBe('body');
});

test('an answer that was cut short is never whole', async () => {
  const { address } = await startRawHttp2((socket, stream) => {
    socket.write(Buffer.concat([frames.ok(stream), frames.data(stream, 'half'), frames.reset(stream, 0)]));
  });
  const transport = await transportTo(address);
  const response = await transport.request(get('/'));
  await sleep(50);
  expect(response.takeWhole?.()).toBeUndefined();
  expect(await failureOf(textOf(response))).toMatchObject({ kind: 'reset' });
});

test('HTTP/1.1 has none', async () => {
  const { server, address } = await startHttps();
  server.on('request', (_, response) => response.end('body'));
  const response = await (await transportTo(address)).request(get('/'));
  expect(response.takeWhole?.()).toBeUndefined();
  expect(await textOf(response)).toBe('body');
});
