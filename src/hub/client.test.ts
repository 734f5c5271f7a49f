import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { Failure } from '../base/failure.ts';
import { silentLog } from '../base/log.ts';
import { Redacted } from '../base/redacted.ts';
import { StatusError } from '../kube/status.ts';
import { testPki } from '../net/testing/certificates.ts';
import { issueCertificate } from '../pki/issue.ts';
import type { HubClient } from './client.ts';
import { eventually, startHub, status } from './testing/fake-hub.ts';

const never = new AbortController().signal;
const get = (client: HubClient, path = '/version', signal: AbortSignal = never) =>
  client.request({ method: 'GET', path, signal });

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('request', () => {
  test('sends what it is told, and gives the JSON', async () => {
    const hub = await startHub((call) => call.json({ got: call.body }, 201));
    const client = await hub.client({ config: await hub.config({ basePath: '/k8s/hub' }) });
    const answer = await client.request({
      method: 'PATCH',
      path: '/api/v1/things/a%2Fb',
      query: { fieldSelector: 'metadata.name=ä&b', dryRun: 'All' },
      body: { text: '€' },
      contentType: 'application/merge-patch+json',
      signal: never,
    });
    expect(answer).toEqual({ got: '{"text":"€"}' });
    const { headers } = hub.calls[0] ?? {};
    expect(headers).toMatchObject({
      ':method': 'PATCH',
      ':path': '/k8s/hub/api/v1/things/a%2Fb?fieldSelector=metadata.name%3D%C3%A4%26b&dryRun=All',
      ':authority': `127.0.0.1:${hub.port}`,
      accept: 'application/json',
      'user-agent': 'test/1',
      'content-type': 'application/merge-patch+json',
      'content-length': '14',
      authorization: 'Bearer hub-token',
    });
  });

  test('many share few connections', async () => {
    const hub = await startHub((call) => setTimeout(() => call.json({}), 20));
    const client = await hub.client();
    await Promise.all(Array.from({ length: 90 }, () => get(client)));
    expect(hub.sockets.size).toBe(1);
    expect(client.connections).toBe(1);
  });

  test('a Status stays what the hub said', async () => {
    const details = {
      name: 'a',
      kind: 'secrets',
      causes: [{ reason: 'R', message: 'M' }],
      retryAfterSeconds: 2,
    };
    const hub = await startHub((call) => call.refuse(500, 'ServerTimeout', { details }));
    const error = await errorOf(get(await hub.client()));
    expect(error).toBeInstanceOf(StatusError);
    expect((error as StatusError).status).toEqual(status(500, 'ServerTimeout', { details }));
  });

  test.each([
    [404, 'NotFound'],
    [410, 'Gone'],
    [418, 'BadRequest'],
    [503, 'ServiceUnavailable'],
    [599, 'InternalError'],
  ])('a %i without a Status', async (code, reason) => {
    const hub = await startHub((call) => {
      call.stream.respond({ ':status': code });
      call.stream.end('<html>');
    });
    const error = (await errorOf(get(await hub.client()))) as StatusError;
    expect(error.status.code).toBe(code);
    expect(statusCodesOf(error)).toContain(reason === 'Gone' ? 'Gone' : reason);
    expect(error.message).toBe(`the hub answered ${code}`);
  });

  test('a redirect is not followed', async () => {
    const hub = await startHub((call) => {
      call.stream.respond({ ':status': 302, location: '/elsewhere' });
      call.stream.end();
    });
    await expect(get(await hub.client())).rejects.toMatchObject({ status: { code: 302 } });
    expect(hub.calls).toHaveLength(1);
  });

  test('what is no JSON is not quoted', async () => {
    const hub = await startHub((call) => {
      call.stream.respond({ ':status': 200 });
      call.stream.end('{"token":"s3cret"');
    });
    const error = await errorOf(get(await hub.client()));
    expect(error).toMatchObject({
      kind: 'reset',
      message: 'the hub answered with something that is not JSON',
    });
    expect((error as Error).cause).toBeUndefined();
  });

  test('an empty answer is undefined', async () => {
    const hub = await startHub((call) => call.end());
    expect(await get(await hub.client())).toBeUndefined();
  });

  test('the deadline covers head and body', async () => {
    const hub = await startHub((call) => {
      if (call.path === '/body') call.raw('{"half":');
    });
    const client = await hub.client();
    for (const path of ['/head', '/body']) {
      const error = await errorOf(client.request({ method: 'GET', path, signal: never, timeoutMs: 100 }));
      expect(error).toMatchObject({
        kind: 'timeout',
        message: `GET ${path} at the hub took longer than 0.1 s`,
      });
    }
    await eventually(() => hub.calls.every(({ stream }) => stream.closed));
  });

  test('whoever goes away frees the stream', async () => {
    const hub = await startHub(() => undefined);
    const client = await hub.client();
    const caller = new AbortController();
    const error = errorOf(get(client, '/', caller.signal));
    await eventually(() => hub.calls.length === 1);
    caller.abort();
    expect(await error).toMatchObject({ kind: 'cancelled' });
    await eventually(() => hub.calls[0]?.stream.closed ?? false);
  });

  test('neither timers nor listeners stay behind', async () => {
    const hub = await startHub((call) => call.json({}));
    const client = await hub.client();
    const caller = new AbortController();
    const add = vi.spyOn(caller.signal, 'addEventListener');
    const remove = vi.spyOn(caller.signal, 'removeEventListener');
    for (let i = 0; i < 20; i += 1) await get(client, '/', caller.signal);
    expect(add.mock.calls.length).toBeGreaterThan(0);
    expect(remove.mock.calls.length).toBeGreaterThanOrEqual(add.mock.calls.length);
    const timers = process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;
    expect(timers).toBeLessThan(10);
  });
});

const statusCodesOf = (error: StatusError) => [
  error.status.reason,
  ...(error.status.code === 410 ? ['Gone', 'Expired'] : []),
];

describe('credentials', () => {
  test('401: read anew, once', async () => {
    const hub = await startHub((call) =>
      call.headers.authorization === 'Bearer new'
        ? call.json({ ok: true })
        : call.refuse(401, 'Unauthorized'),
    );
    const asked: boolean[] = [];
    const authorization = (fresh = false) => {
      asked.push(fresh);
      return Promise.resolve(new Redacted(fresh ? 'Bearer new' : 'Bearer old'));
    };
    const client = await hub.client({ config: await hub.config({ authorization }) });
    expect(await client.request({ method: 'POST', path: '/', body: { a: 1 }, signal: never })).toEqual({
      ok: true,
    });
    expect(asked).toEqual([false, true]);
    expect(hub.calls.map(({ body }) => body)).toEqual(['{"a":1}', '{"a":1}']);
  });

  test('401 twice is the answer, and shows no token', async () => {
    const hub = await startHub((call) => call.refuse(401, 'Unauthorized'));
    const client = await hub.client();
    const error = await errorOf(get(client));
    expect(error).toMatchObject({ status: { code: 401, reason: 'Unauthorized' } });
    expect(JSON.stringify(error)).not.toContain('hub-token');
    expect(hub.calls).toHaveLength(2);
  });

  test('a plugin that hangs holds nobody beyond the deadline', async () => {
    const hub = await startHub();
    const authorization = () => new Promise<undefined>(() => undefined);
    const client = await hub.client({ config: await hub.config({ authorization }) });
    const request = client.request({ method: 'GET', path: '/', signal: never, timeoutMs: 50 });
    await expect(request).rejects.toMatchObject({ kind: 'timeout' });
  });

  test('new TLS material: new connections; watches on the old ones go on', async () => {
    const { ca, client: identity } = await testPki();
    let pair = identity;
    const tls = () =>
      Promise.resolve({
        ca: ca.certificatePem,
        certificatePem: pair.certificatePem,
        privateKeyPem: pair.privateKeyPem,
      });
    let refuse = false;
    const hub = await startHub((call) => {
      if (call.isWatch) call.open();
      else if (refuse) call.refuse(401, 'Unauthorized');
      else call.json({});
      refuse = false;
    });
    const client = await hub.client({ config: await hub.config({ tls }) });
    const caller = new AbortController();
    const watching = watchAll(client, caller.signal);
    await eventually(() => hub.calls.length === 1);
    await get(client);
    expect(hub.sockets.size).toBe(2);
    const before = new Set(hub.sockets);
    pair = await issueCertificate({ commonName: 'client', usages: ['clientAuth'] }, { issuer: ca });
    refuse = true;
    await get(client);
    expect([...hub.sockets].filter((socket) => !before.has(socket))).toHaveLength(1);
    expect(hub.calls[0]?.stream.closed).toBe(false);
    // Half of a pair on the disk: what was good goes on.
    pair = { ...pair, privateKeyPem: identity.privateKeyPem };
    refuse = true;
    await get(client);
    caller.abort();
    expect(await watching).toMatchObject({ kind: 'cancelled' });
    await eventually(() => hub.sockets.size === 1);
  });

  test('a hub whose certificate nobody vouches for', async () => {
    const hub = await startHub();
    const other = await issueCertificate({ commonName: 'other', ca: true });
    const tls = () => Promise.resolve({ ca: other.certificatePem });
    const client = await hub.client({ config: await hub.config({ tls }) });
    await expect(get(client)).rejects.toMatchObject({ kind: 'untrusted' });
    expect(hub.calls).toHaveLength(0);
  });
});

async function watchAll(client: HubClient, signal: AbortSignal, seen: unknown[] = []): Promise<unknown> {
  try {
    for await (const value of client.watch({ path: '/w', query: { a: 'b' }, signal })) seen.push(value);
    return 'ended';
  } catch (error) {
    return error;
  }
}

describe('watch', () => {
  test('gives events until the hub ends it', async () => {
    const hub = await startHub();
    const seen: unknown[] = [];
    const onOpen = vi.fn();
    const client = await hub.client();
    const watching = (async () => {
      for await (const value of client.watch({ path: '/w', query: { a: 'b' }, signal: never, onOpen }))
        seen.push(value);
    })();
    const call = await hub.next();
    expect(call.headers[':path']).toBe('/w?a=b&watch=true');
    expect(onOpen).not.toHaveBeenCalled();
    call.open();
    await eventually(() => onOpen.mock.calls.length === 1);
    call.raw('1\n2');
    await eventually(() => seen.length === 1);
    call.raw('3\n');
    call.end();
    await watching;
    expect(seen).toEqual([1, 23]);
  });

  test('whoever stops reading frees the stream', async () => {
    const hub = await startHub((call) => call.raw('1\n2\n'));
    const client = await hub.client();
    for await (const value of client.watch({ path: '/w', query: {}, signal: never })) {
      expect(value).toBe(1);
      break;
    }
    await eventually(() => hub.calls[0]?.stream.closed ?? false);
  });

  test.each([
    [
      'a refusal',
      (call: { refuse(code: number, reason: string): void }) => call.refuse(403, 'Forbidden'),
      StatusError,
    ],
    [
      'a stream that breaks',
      (call: { raw(text: string): void; reset(): void }) => (
        call.raw('1\n'),
        void setTimeout(() => call.reset(), 50)
      ),
      Failure,
    ],
  ])('%s is thrown', async (_name, answer, type) => {
    const hub = await startHub(answer);
    expect(await watchAll(await hub.client(), never)).toBeInstanceOf(type);
  });

  test('outlives the time for its head, and every other deadline', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const hub = await startHub((call) => call.open());
      const seen: unknown[] = [];
      const client = await hub.client();
      const caller = new AbortController();
      const watching = watchAll(client, caller.signal, seen);
      while (hub.calls.length === 0) await new Promise(setImmediate);
      for (let i = 0; i < 50; i += 1) await new Promise(setImmediate);
      await vi.advanceTimersByTimeAsync(3_600_000);
      hub.calls[0]?.raw('1\n');
      while (seen.length === 0) await new Promise(setImmediate);
      caller.abort();
      await watching;
      expect(seen).toEqual([1]);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('the end', () => {
  test('close lets a request end', async () => {
    const hub = await startHub();
    const client = await hub.client();
    const request = get(client);
    const call = await hub.next();
    const closing = client.close();
    await expect(get(client)).rejects.toMatchObject({ kind: 'cancelled' });
    await sleep(50);
    call.json({ ok: true });
    expect(await request).toEqual({ ok: true });
    await closing;
    await eventually(() => hub.sockets.size === 0);
  });

  test('destroy ends a request', async () => {
    const hub = await startHub();
    const client = await hub.client({ log: silentLog });
    const error = errorOf(get(client));
    await hub.next();
    client.destroy();
    client.destroy();
    expect(await error).toBeInstanceOf(Failure);
    expect(client.connections).toBe(0);
    await eventually(() => hub.sockets.size === 0);
  });

  test('destroy while credentials are being read opens nothing', async () => {
    const hub = await startHub();
    const tls = Promise.withResolvers<{ insecure: true }>();
    const client = await hub.client({ config: await hub.config({ tls: () => tls.promise }) });
    const error = errorOf(get(client));
    await sleep(20);
    client.destroy();
    tls.resolve({ insecure: true });
    expect(await error).toMatchObject({ kind: 'cancelled' });
    expect(hub.calls).toHaveLength(0);
  });
});
