import type { ServerHttp2Stream } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { countStreams, failureOf } from './testing/streams.ts';
import { eventually, startHttp2 } from './testing/servers.ts';
import { get, textOf, transportTo } from './testing/transports.ts';

const answerOk = (stream: ServerHttp2Stream) => {
  stream.respond({ ':status': 200 });
  stream.end('ok');
};

describe('places on sessions', () => {
  test('1,000 requests one after the other use one connection', async () => {
    const { server, address, accepted } = await startHttp2();
    server.on('stream', answerOk);
    const transport = await transportTo(address);
    for (let count = 0; count < 1000; count += 1)
      expect(await textOf(await transport.request(get('/')))).toBe('ok');
    expect(accepted()).toBe(1);
  });

  test('300 at once never pass the peer’s limit', async () => {
    const { server, address, accepted } = await startHttp2();
    const counts = countStreams(server);
    server.on('stream', (stream) => void sleep(50).then(() => answerOk(stream)));
    const transport = await transportTo(address);
    const texts = await Promise.all(
      Array.from({ length: 300 }, async () => textOf(await transport.request(get('/')))),
    );
    expect(texts.every((text) => text === 'ok')).toBe(true);
    expect(counts.total()).toBe(300);
    expect(counts.mostOnOne()).toBeLessThanOrEqual(100);
    expect(accepted()).toBeLessThanOrEqual(5);
  });

  test('a limit of 3 holds too, from the first request on', async () => {
    const { server, address } = await startHttp2({ settings: { maxConcurrentStreams: 3 } });
    const counts = countStreams(server);
    server.on('stream', (stream) => void sleep(10).then(() => answerOk(stream)));
    const transport = await transportTo(address, { limits: { maxSessions: 4 } });
    await Promise.all(Array.from({ length: 50 }, async () => textOf(await transport.request(get('/')))));
    expect(counts.mostOnOne()).toBeLessThanOrEqual(3);
    expect(counts.total()).toBe(50);
    expect(counts.resets).toEqual([]);
    expect(transport.connections().http2).toBeLessThanOrEqual(4);
  });

  test('150 watches do not delay a GET', async () => {
    const { server, address } = await startHttp2();
    const counts = countStreams(server);
    server.on('stream', (stream, headers) => {
      stream.respond({ ':status': 200 });
      if (headers[':path'] === '/watch') stream.write('event');
      else stream.end('ok');
    });
    const transport = await transportTo(address);
    const watches = await Promise.all(
      Array.from({ length: 150 }, () => transport.request(get('/watch', { longRunning: true }))),
    );
    await textOf(await transport.request(get('/')));
    const began = performance.now();
    await textOf(await transport.request(get('/')));
    expect(performance.now() - began).toBeLessThan(100);
    expect(counts.mostOnOne()).toBeLessThanOrEqual(100);
    for (const { body } of watches) body.destroy();
    await eventually(() => counts.open() === 0);
  });

  test('the next session is opened before the first is full', async () => {
    const { server, address, accepted } = await startHttp2({ settings: { maxConcurrentStreams: 10 } });
    server.on('stream', (stream) => stream.respond({ ':status': 200 }));
    const transport = await transportTo(address);
    const open = async () => (await transport.request(get('/'))).body;
    const bodies = [];
    for (let count = 0; count < 7; count += 1) bodies.push(await open());
    expect(accepted()).toBe(1);
    bodies.push(await open());
    await eventually(() => transport.connections().http2 === 2);
    for (const body of bodies) body.destroy();
  });

  test('who finds no place waits for one; too many fail at once', async () => {
    const { server, address } = await startHttp2({ settings: { maxConcurrentStreams: 1 } });
    const streams: ServerHttp2Stream[] = [];
    server.on('stream', (stream) => streams.push(stream));
    const transport = await transportTo(address, { limits: { maxSessions: 1, maxWaiting: 2 } });
    const first = transport.request(get('/1'));
    await eventually(() => streams.length === 1);
    const controller = new AbortController();
    const second = failureOf(transport.request(get('/2', { signal: controller.signal })));
    const third = transport.request(get('/3'));
    expect((await failureOf(transport.request(get('/4')))).message).toContain('too many requests wait');
    controller.abort();
    expect((await second).kind).toBe('cancelled');
    for (const stream of streams.splice(0)) answerOk(stream);
    expect(await textOf(await first)).toBe('ok');
    await eventually(() => streams.length === 1);
    for (const stream of streams.splice(0)) answerOk(stream);
    expect(await textOf(await third)).toBe('ok');
  });

  test('a peer that allows no stream is said to', async () => {
    const { server, address, accepted } = await startHttp2({ settings: { maxConcurrentStreams: 0 } });
    server.on('stream', answerOk);
    const transport = await transportTo(address);
    expect((await failureOf(transport.request(get('/')))).message).toContain('allows no HTTP/2 stream');
    expect(accepted()).toBe(1);
  });

  test('idle sessions close', async () => {
    const { server, address } = await startHttp2();
    server.on('stream', answerOk);
    const transport = await transportTo(address, { limits: { idleMs: 50 } });
    await textOf(await transport.request(get('/')));
    await eventually(() => transport.connections().http2 === 0);
    expect(await textOf(await transport.request(get('/')))).toBe('ok');
  });
});
