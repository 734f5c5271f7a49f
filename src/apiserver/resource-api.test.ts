import { once } from 'node:events';
import { connect } from 'node:http2';
import type { IncomingHttpHeaders } from 'node:http2';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import type { CallOptions } from './testing/served.ts';
import { GROUP, WIDGETS, call, protocols, serveWidgets, watch, widget } from './testing/widgets.ts';

const json = (body: string) => JSON.parse(body) as Record<string, never>;

describe.each(protocols)('%s', (protocol) => {
  const served = async () => {
    const server = await serveWidgets();
    server.cache.upsert(widget('a', 1, { color: 'red' }));
    server.cache.upsert(widget('b', 2, { color: 'blue' }));
    const get = (path: string, headers: CallOptions['headers'] = {}, method = 'GET') =>
      call(protocol, server.port, { path, headers, method });
    return { ...server, get };
  };

  test('get', async () => {
    const { get } = await served();
    const { status, headers, body } = await get(`${WIDGETS}/a`);
    expect(status).toBe(200);
    expect(json(body)).toEqual({
      ...widget('a', 1, { color: 'red' }),
      metadata: { name: 'a', labels: { color: 'red' }, resourceVersion: '2' },
    });
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-cache, private',
      'audit-id': 'audit-1',
    });
  });

  test('get of nothing is 404 with details', async () => {
    const { get } = await served();
    const { status, headers, body } = await get(`${WIDGETS}/nope`);
    expect(status).toBe(404);
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(json(body)).toEqual({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: 'widgets.example.dev "nope" not found',
      reason: 'NotFound',
      details: { name: 'nope', group: 'example.dev', kind: 'widgets' },
      code: 404,
    });
  });

  test('list', async () => {
    const { get } = await served();
    const { body } = await get(WIDGETS);
    expect(json(body)).toMatchObject({
      kind: 'WidgetList',
      apiVersion: 'example.dev/v1',
      metadata: { resourceVersion: '3' },
      items: [{ metadata: { name: 'a' } }, { metadata: { name: 'b' } }],
    });
  });

  test.each([
    ['?labelSelector=color%3Dred', ['a']],
    ['?labelSelector=color+in+(red,blue),!x', ['a', 'b']],
    ['?labelSelector=color%3Dgreen', []],
    ['?fieldSelector=metadata.name%3Db', ['b']],
    ['?fieldSelector=metadata.name!%3Db', ['a']],
    ['?fieldSelector=metadata.namespace%3Dx', []],
    ['?limit=1', ['a']],
    ['?resourceVersion=0', ['a', 'b']],
    ['?resourceVersion=3&resourceVersionMatch=Exact', ['a', 'b']],
    ['?resourceVersion=1&resourceVersionMatch=NotOlderThan', ['a', 'b']],
    ['/', ['a', 'b']],
  ])('list%s', async (query, names) => {
    const { get } = await served();
    const { status, body } = await get(`${WIDGETS}${query}`);
    expect(status).toBe(200);
    const { items } = json(body) as unknown as { items: { metadata: { name: string } }[] };
    expect(items.map(({ metadata }) => metadata.name)).toEqual(names);
  });

  test.each([
    ['?labelSelector=a%3D%3D%3Db', 400, 'unable to parse'],
    ['?fieldSelector=spec.x%3D1', 400, '"spec.x" is not a known field selector'],
    ['?fieldSelector=x', 400, 'invalid selector'],
    ['?limit=x', 400, 'not an integer'],
    ['?resourceVersion=abc', 400, 'invalid resource version'],
    ['?continue=abc', 400, 'continue'],
    ['?resourceVersion=1&resourceVersionMatch=Exact', 410, 'too old'],
  ])('list%s is %i', async (query, code, message) => {
    const { get } = await served();
    const { status, body } = await get(`${WIDGETS}${query}`);
    expect(status).toBe(code);
    expect(json(body)).toMatchObject({ kind: 'Status', code });
    expect(json(body)['message']).toContain(message);
  });

  test.each([
    ['resourceVersionMatch=Exact', ['FieldValueForbidden']],
    ['resourceVersionMatch=Exact&resourceVersion=0', ['FieldValueForbidden']],
    ['resourceVersionMatch=Odd&resourceVersion=1', ['FieldValueNotSupported']],
    ['resourceVersionMatch=Exact&continue=x', ['FieldValueForbidden', 'FieldValueForbidden']],
    ['sendInitialEvents=true', ['FieldValueForbidden']],
    ['watch=1&sendInitialEvents=true', ['FieldValueForbidden']],
    ['watch=1&resourceVersionMatch=NotOlderThan', ['FieldValueForbidden']],
    [
      'watch=1&sendInitialEvents=0&resourceVersionMatch=Exact',
      ['FieldValueForbidden', 'FieldValueNotSupported'],
    ],
  ])('list?%s is 422', async (query, reasons) => {
    const { get } = await served();
    const { status, body } = await get(`${WIDGETS}?${query}`);
    expect(status).toBe(422);
    expect(json(body)).toMatchObject({
      reason: 'Invalid',
      message: expect.stringMatching(/^ListOptions\.meta\.k8s\.io "" is invalid: /) as string,
      details: { group: 'meta.k8s.io', kind: 'ListOptions', causes: reasons.map((reason) => ({ reason })) },
    });
  });

  test('a version that nobody knows yet is waited for, then 504', async () => {
    const { get, cache } = await served();
    const waiting = get(`${WIDGETS}?resourceVersion=4`);
    const never = get(`${WIDGETS}/a?resourceVersion=900`);
    setTimeout(() => cache.upsert(widget('c')), 100);
    expect(json((await waiting).body)).toMatchObject({ metadata: { resourceVersion: '4' } });
    const { status, headers, body } = await never;
    expect(status).toBe(504);
    expect(headers['retry-after']).toBe('1');
    expect(json(body)).toMatchObject({ details: { causes: [{ reason: 'ResourceVersionTooLarge' }] } });
  });

  const table = 'application/json;as=Table;v=v1;g=meta.k8s.io';

  test("kubectl's Accept gives a Table", async () => {
    const { get } = await served();
    const accept = `${table},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json`;
    const { body, headers } = await get(`${WIDGETS}?limit=500`, { accept });
    expect(headers['content-type']).toBe('application/json');
    expect(json(body)).toEqual({
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      metadata: { resourceVersion: '3' },
      columnDefinitions: [
        { name: 'Name', type: 'string', format: 'name', description: 'Its name.', priority: 0 },
        { name: 'Size', type: 'integer', format: '', description: 'Its size.', priority: 1 },
      ],
      rows: [
        {
          cells: ['a', 1],
          object: {
            kind: 'PartialObjectMetadata',
            apiVersion: 'meta.k8s.io/v1',
            metadata: { name: 'a', labels: { color: 'red' }, resourceVersion: '2' },
          },
        },
        { cells: ['b', 2], object: expect.objectContaining({ kind: 'PartialObjectMetadata' }) as object },
      ],
    });
  });

  test('a Table with other objects', async () => {
    const { get } = await served();
    const rows = async (query: string, accept = table) =>
      (json((await get(`${WIDGETS}/a${query}`, { accept })).body) as unknown as { rows: object[] }).rows;
    expect(await rows('?includeObject=None')).toEqual([{ cells: ['a', 1] }]);
    expect(await rows('?includeObject=Object')).toMatchObject([
      { object: { kind: 'Widget', spec: { size: 1 } } },
    ]);
    expect(await rows('', table.replace('v1', 'v1beta1'))).toMatchObject([
      { object: { apiVersion: 'meta.k8s.io/v1beta1' } },
    ]);
    const { status, body } = await get(`${WIDGETS}?includeObject=Bad`, { accept: table });
    expect(status).toBe(400);
    expect(json(body)['message']).toContain('Unable to convert to Table');
  });

  test('PartialObjectMetadata', async () => {
    const { get } = await served();
    const accept = (kind: string) => ({ accept: `application/json;as=${kind};v=v1;g=meta.k8s.io` });
    const list = await get(WIDGETS, accept('PartialObjectMetadataList'));
    expect(json(list.body)).toMatchObject({
      kind: 'PartialObjectMetadataList',
      apiVersion: 'meta.k8s.io/v1',
      metadata: { resourceVersion: '3' },
      items: [{ kind: 'PartialObjectMetadata', metadata: { name: 'a' } }, {}],
    });
    expect(list.body).not.toContain('size');
    const one = await get(`${WIDGETS}/a`, accept('PartialObjectMetadata'));
    expect(json(one.body)).toMatchObject({ kind: 'PartialObjectMetadata', metadata: { name: 'a' } });
    expect((await get(WIDGETS, accept('PartialObjectMetadata'))).status).toBe(406);
    expect((await get(`${WIDGETS}/a`, accept('PartialObjectMetadataList'))).status).toBe(406);
    expect((await get(`${WIDGETS}?watch=1`, accept('PartialObjectMetadataList'))).status).toBe(406);
  });

  test('media types', async () => {
    const { get } = await served();
    const typeFor = async (accept: string) => {
      const { status, headers } = await get(`${WIDGETS}/a`, { accept });
      return status === 200 ? headers['content-type'] : status;
    };
    expect(await typeFor('*/*')).toBe('application/json');
    expect(await typeFor('application/vnd.kubernetes.protobuf, */*')).toBe('application/json');
    expect(await typeFor('application/vnd.kubernetes.protobuf;q=0.9,application/json;q=0.1')).toBe(
      'application/json',
    );
    expect(await typeFor('application/vnd.kubernetes.protobuf')).toBe(406);
    expect(await typeFor('application/cbor')).toBe(406);
    expect(await typeFor('text/html')).toBe(406);
    expect(await typeFor('application/json;q=0')).toBe(406);
    expect(await typeFor('application/yaml')).toBe('application/yaml');
    expect(await typeFor('application/json;as=Odd;v=v1;g=meta.k8s.io')).toBe(406);
    const refused = await get(WIDGETS, { accept: 'application/vnd.kubernetes.protobuf' });
    expect(refused.status).toBe(406);
    expect(json(refused.body)['message']).toBe(
      'only the following media types are accepted: application/json, application/yaml',
    );
  });

  test('YAML', async () => {
    const { get } = await served();
    const list = await get(WIDGETS, { accept: 'application/yaml' });
    expect(parseYaml(list.body)).toMatchObject({ kind: 'WidgetList', items: [{ spec: { size: 1 } }, {}] });
    const missing = await get(`${WIDGETS}/nope`, { accept: 'application/yaml' });
    expect(parseYaml(missing.body)).toMatchObject({ kind: 'Status', code: 404 });
    expect((await get(`${WIDGETS}?watch=1`, { accept: 'application/yaml' })).status).toBe(406);
  });

  test('pretty', async () => {
    const { get } = await served();
    const isPretty = async (query: string, agent = 'kubectl') =>
      (await get(`${WIDGETS}/a${query}`, { 'user-agent': agent })).body.includes('\n  "kind"');
    expect(await isPretty('')).toBe(false);
    expect(await isPretty('?pretty=1')).toBe(true);
    expect(await isPretty('?pretty=true')).toBe(true);
    expect(await isPretty('', 'curl/8.5.0')).toBe(true);
    expect(await isPretty('?pretty=0', 'curl/8.5.0')).toBe(false);
  });

  test('large answers are compressed for those who take it', async () => {
    const { get, cache, port } = await served();
    const text = 'x'.repeat(200_000);
    cache.upsert({ ...widget('large'), spec: { size: 1, text } });
    const plain = await get(`${WIDGETS}/large`);
    expect(plain.headers['content-encoding']).toBeUndefined();
    expect(plain.headers['vary']).toBe('accept-encoding');
    expect(plain.body).toContain(text);
    const small = await get(`${WIDGETS}/a`, { 'accept-encoding': 'gzip' });
    expect(small.headers['content-encoding']).toBeUndefined();
    for (const encoding of ['gzip', 'deflate, gzip;q=0.5']) {
      const { headers } = await get(`${WIDGETS}/large`, { 'accept-encoding': encoding });
      expect(headers['content-encoding']).toBe('gzip');
      expect(Number(headers['content-length'])).toBeLessThan(5_000);
    }
    expect(
      (await get(`${WIDGETS}/large`, { 'accept-encoding': 'gzip;q=0' })).headers['content-encoding'],
    ).toBeUndefined();
    const { body } = await watch(protocol, port, {
      path: `${WIDGETS}/large`,
      headers: { 'accept-encoding': 'gzip' },
    });
    const bytes = gunzipSync(Buffer.concat((await body.toArray()) as Buffer[]));
    expect(json(bytes.toString())).toMatchObject({ spec: { text } });
  });

  test.each([
    ['POST', WIDGETS],
    ['DELETE', WIDGETS],
    ['OPTIONS', WIDGETS],
    ['PUT', `${WIDGETS}/a`],
    ['PATCH', `${WIDGETS}/a`],
    ['DELETE', `${WIDGETS}/a`],
    ['GET', `${GROUP}/gadgets`],
    ['GET', `${GROUP}/gadgets?watch=1`],
    ['GET', `${GROUP}/doodads?watch=1`],
    ['POST', GROUP],
    ['TRACE', `${WIDGETS}/a`],
    ['PROPFIND', `${WIDGETS}/a`],
  ])('%s %s is 405', async (method, path) => {
    const { get } = await served();
    const { status, headers, body } = await get(path, {}, method);
    expect(status).toBe(405);
    expect(headers['content-type']).toBe('application/json');
    expect(json(body)).toMatchObject({ kind: 'Status', reason: 'MethodNotAllowed', code: 405 });
  });

  test.each([
    `${GROUP}/unknown`,
    `${GROUP}/widgets/a/unknown`,
    `${GROUP}/widgets/a/tunnel`,
    `${GROUP}/watch/widgets`,
    `${GROUP}/watch/widgets/a`,
    `${GROUP}/namespaces/ns/widgets`,
    `${GROUP}/namespaces/ns/widgets/a`,
    `${WIDGETS}//a`,
    `${WIDGETS}/..`,
    `${WIDGETS}/%2e%2e`,
    `${WIDGETS}/a%2Ftunnel`,
    '/apis/example.dev/v2/widgets',
    '/api/v1/pods',
  ])('%s is a Status 404', async (path) => {
    const { get } = await served();
    const { status, body } = await get(path);
    expect(status).toBe(404);
    expect(json(body)).toMatchObject({ kind: 'Status', reason: 'NotFound' });
  });

  test.each([
    '/',
    '/nope',
    '/apis/nope',
    '/apis/example.dev/v2',
    '/apis%2Fexample.dev',
    '/openapi/v3/apis/x/v1',
  ])('%s is a text 404', async (path) => {
    const { get } = await served();
    const { status, headers, body } = await get(path);
    expect(status).toBe(404);
    expect(headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(body).toBe('404 page not found\n');
  });

  test('a body does not matter', async () => {
    const { port } = await served();
    for (const [method, code] of [
      ['POST', 405],
      ['GET', 200],
    ] as const) {
      const answer = await call(protocol, port, {
        path: WIDGETS,
        method,
        headers: { 'content-type': 'application/json', 'content-length': '0' },
      });
      expect(answer.status).toBe(code);
    }
  });

  test('HEAD is GET without the body', async () => {
    const { get } = await served();
    for (const path of [WIDGETS, `${WIDGETS}/a`, '/apis', '/openapi/v2', `${WIDGETS}?watch=1`]) {
      const { status, body } = await get(path, {}, 'HEAD');
      expect([status, body], path).toEqual([200, '']);
    }
    expect((await get(`${WIDGETS}/nope`, {}, 'HEAD')).status).toBe(404);
  });

  test('what breaks is 500 and tells nothing', async () => {
    const { get } = await served();
    const { status, body } = await get(`${GROUP}/gadgets/broken`);
    expect(status).toBe(500);
    expect(body).not.toContain('secret');
    expect(json(body)).toMatchObject({ kind: 'Status', reason: 'InternalError' });
  });

  test('names of any length that a path can hold', async () => {
    const { get, cache } = await served();
    const name = `${'long.'.repeat(50)}end`;
    cache.upsert(widget(name));
    expect((await get(`${WIDGETS}/${name}`)).status).toBe(200);
    expect((await get(`${WIDGETS}/${'x'.repeat(2000)}`)).status).toBe(400);
  });
});

test('bodies that nobody reads do not fill their connection', async () => {
  const { port } = await serveWidgets();
  const session = connect(`https://localhost:${port}`, {
    rejectUnauthorized: false,
    // Node's client never forgets what it could not send: 10 MB of that, and it refuses its own streams.
    maxSessionMemory: 100,
  });
  const body = Buffer.alloc(1024 * 1024);
  for (let i = 0; i < 40; i++) {
    const stream = session.request({ ':method': 'POST', ':path': WIDGETS });
    stream.end(body);
    const closed = once(stream, 'close');
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    expect(headers[':status']).toBe(405);
    stream.resume();
    await closed;
  }
  session.destroy();
});

test('a method that nobody knows', async () => {
  const { port } = await serveWidgets();
  const { status, body } = await call('HTTP/2', port, { path: WIDGETS, method: 'FROBNICATE' });
  expect(status).toBe(405);
  expect(json(body)).toMatchObject({ reason: 'MethodNotAllowed' });
});
