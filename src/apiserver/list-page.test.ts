import { describe, expect, test } from 'vitest';
import type { KubeObject } from '../kube/object-meta.ts';
import { decodeContinue, encodeContinue, pageOf } from './list-page.ts';
import { GIZMOS, gizmo, serveGizmos } from './testing/gizmos.ts';
import { GROUP } from './testing/widgets.ts';

const named = (name: string, namespace?: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
});

test.each([
  ['x'],
  ['not base64 at all!'],
  [Buffer.from('{"v":2,"after":"/a"}').toString('base64url')],
  [Buffer.from('{"v":1}').toString('base64url')],
  [Buffer.from('{"v":1,"after":7}').toString('base64url')],
  [Buffer.from('{"v":1,"after":"/a","rv":"abc"}').toString('base64url')],
  [Buffer.from('{"v":1,"after":"/a","rv":7}').toString('base64url')],
  [Buffer.from('null').toString('base64url')],
  [Buffer.from('[]').toString('base64url')],
  [encodeContinue({ resourceVersion: '1', after: 'x'.repeat(1000) })],
])('%j is no token', (token) => {
  expect(() => decodeContinue(token)).toThrow('continue key is not valid');
});

test('a list in any order is cut in the order of namespace and name', () => {
  const objects = [named('b', 'n'), named('z', 'm'), named('a', 'n'), named('a', 'm')];
  const options = { limit: 3, after: '', isSelection: false, resourceVersion: '7' };
  const first = pageOf(objects, options);
  expect(first.objects.map(({ metadata: { name, namespace = '' } }) => `${namespace}/${name}`)).toEqual([
    'm/a',
    'm/z',
    'n/a',
  ]);
  expect(first.metadata).toMatchObject({ resourceVersion: '7', remainingItemCount: 1 });
  const { after } = decodeContinue(first.metadata.continue ?? '');
  expect(pageOf(objects, { ...options, after })).toEqual({
    objects: [named('b', 'n')],
    metadata: { resourceVersion: '7' },
  });
});

describe('pages of a list', () => {
  const served = async (count = 5) => {
    const server = await serveGizmos('HTTP/2');
    for (let i = 0; i < count; i++) server.gizmos.upsert(gizmo(`g${i}`));
    const page = async (query: string, headers = {}) => {
      const { status, body } = await server.ask('GET', `${GIZMOS}?${query}`, { headers });
      const { items = [], metadata } = body as {
        items?: KubeObject[];
        metadata: { continue?: string; remainingItemCount?: number; resourceVersion?: string };
      };
      return { status, body: body as object, names: items.map((item) => item.metadata.name), ...metadata };
    };
    return { ...server, page };
  };

  test('one after the other are the whole, in the state of the first', async () => {
    const { page, gizmos } = await served();
    const first = await page('limit=2');
    expect(first).toMatchObject({ names: ['g0', 'g1'], remainingItemCount: 3, resourceVersion: '6' });
    gizmos.remove('g3', { namespace: 'ns' });
    gizmos.upsert(gizmo('g2b'));
    gizmos.upsert(gizmo('g0', { size: 9 }));
    const second = await page(`limit=2&continue=${first.continue}`);
    expect(second).toMatchObject({ names: ['g2', 'g3'], remainingItemCount: 1, resourceVersion: '6' });
    const third = await page(`limit=2&continue=${second.continue}`);
    expect(third).toMatchObject({ names: ['g4'], resourceVersion: '6' });
    expect([third.continue, third.remainingItemCount]).toEqual([undefined, undefined]);
    expect((await page(`continue=${first.continue}`)).names).toEqual(['g2', 'g3', 'g4']);
    expect((await page('')).names).toEqual(['g0', 'g1', 'g2', 'g2b', 'g4']);
  });

  test.each([
    ['limit=5', 5, undefined],
    ['limit=0', 5, undefined],
    ['limit=-1', 5, undefined],
    ['limit=2&resourceVersion=0', 5, undefined],
    ['limit=2&resourceVersion=6', 2, 3],
    ['limit=2&resourceVersion=4&resourceVersionMatch=NotOlderThan', 2, 3],
    ['limit=2&resourceVersion=4&resourceVersionMatch=Exact', 2, 1],
    ['limit=2&labelSelector=!x', 2, undefined],
    ['limit=2&fieldSelector=metadata.name!%3Dg0', 2, undefined],
  ])('?%s', async (query, count, remaining) => {
    const { page } = await served();
    const { names, remainingItemCount, ...rest } = await page(query);
    expect([names.length, remainingItemCount]).toEqual([count, remaining]);
    expect(rest.continue !== undefined).toBe(count < 5);
  });

  test('of a selection, a namespace and a Table', async () => {
    const { page, gizmos, ask } = await served();
    gizmos.upsert({ ...gizmo('g9'), metadata: { name: 'g9', namespace: 'other' } });
    const first = await page('limit=1&fieldSelector=metadata.name!%3Dg1');
    expect(
      (await page(`limit=1&fieldSelector=metadata.name!%3Dg1&continue=${first.continue}`)).names,
    ).toEqual(['g2']);
    expect(await page('limit=4')).toMatchObject({ remainingItemCount: 1 });
    const all = (await ask('GET', `${GROUP}/gizmos?limit=4`)).body as { metadata: object };
    expect(all.metadata).toMatchObject({ remainingItemCount: 2 });
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
    const table = await page('limit=2', { accept });
    expect(table).toMatchObject({ body: { rows: [{}, {}] }, remainingItemCount: 3 });
  });

  test('a state that is gone is 410 with a token that leads on all the same', async () => {
    const { page, resource } = await served();
    const first = await page('limit=2');
    Object.assign(resource, { listAt: undefined });
    expect((await page(`limit=2&continue=${first.continue}`)).names).toEqual(['g2', 'g3']);
    await serveChange(resource);
    const gone = await page(`limit=2&continue=${first.continue}`);
    expect(gone.body).toMatchObject({ kind: 'Status', reason: 'Expired', code: 410 });
    const next = await page(`limit=2&continue=${gone.continue}`);
    expect(next).toMatchObject({ status: 200, names: ['g2', 'g3'], resourceVersion: '7' });
  });

  const serveChange = async (resource: Awaited<ReturnType<typeof served>>['resource']) => {
    const context = { namespace: 'ns', dryRun: false } as never;
    await resource.create?.(gizmo('g9'), context);
  };

  test.each([
    ['continue=abc', 400, 'continue key is not valid'],
    [
      'continue=TOKEN&resourceVersion=6',
      400,
      'specifying resource version is not allowed when using continue',
    ],
    [
      'continue=TOKEN&resourceVersion=6&resourceVersionMatch=Exact',
      422,
      'forbidden when continue is provided',
    ],
  ])('?%s is %i', async (query, code, message) => {
    const { page } = await served();
    const token = (await page('limit=1')).continue ?? '';
    const { status, body } = await page(query.replace('TOKEN', token));
    expect(status).toBe(code);
    expect((body as { message: string }).message).toContain(message);
  });
});
