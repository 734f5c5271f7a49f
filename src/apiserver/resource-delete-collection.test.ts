import { describe, expect, test } from 'vitest';
import { GIZMOS, gizmo, serveGizmos } from './testing/gizmos.ts';
import { GROUP, protocols } from './testing/widgets.ts';

/** Gizmos a, b and c in `ns`, b with a label and c with a finalizer, and one of another namespace. */
async function served(protocol: (typeof protocols)[number]) {
  const server = await serveGizmos(protocol);
  const { gizmos } = server;
  gizmos.upsert(gizmo('a'));
  gizmos.upsert({ ...gizmo('b'), metadata: { ...gizmo('b').metadata, labels: { l: '1' } } });
  gizmos.upsert({ ...gizmo('c'), metadata: { ...gizmo('c').metadata, finalizers: ['x/y'] } });
  gizmos.upsert({ ...gizmo('a'), metadata: { name: 'a', namespace: 'other' } });
  const left = () => gizmos.list().items.map(({ metadata: { namespace, name } }) => `${namespace}/${name}`);
  return { ...server, left };
}

const namesOf = (list: unknown) =>
  (list as { items: { metadata: { name: string } }[] }).items.map(({ metadata: { name } }) => name);

describe.each(protocols)('deletecollection (%s)', (protocol) => {
  test('deletes what is in the namespace, and answers with it', async () => {
    const { ask, left, gizmos } = await served(protocol);
    const { status, body } = await ask('DELETE', GIZMOS);
    expect([status, body.kind, namesOf(body)]).toEqual([200, 'GizmoList', ['a', 'b', 'c']]);
    // What has a finalizer is on its way.
    expect(left()).toEqual(['ns/c', 'other/a']);
    expect(gizmos.get('c', 'ns')?.metadata.deletionTimestamp).toBeDefined();
  });

  test.each([
    ['labelSelector=l%3D1', ['b']],
    ['fieldSelector=metadata.name%3Da', ['a']],
    ['labelSelector=none', []],
    ['limit=2', ['a', 'b']],
  ])('%s deletes what is selected alone', async (query, names) => {
    const { ask, left } = await served(protocol);
    const before = left();
    const { status, body } = await ask('DELETE', `${GIZMOS}?${query}`);
    expect([status, namesOf(body)]).toEqual([200, names]);
    expect(left()).toEqual(before.filter((each) => !names.includes(each.replace('ns/', ''))));
  });

  test('a dry run, in the query or in the body, deletes nothing', async () => {
    const { ask, left } = await served(protocol);
    const before = left();
    expect(namesOf((await ask('DELETE', `${GIZMOS}?dryRun=All`)).body)).toEqual(['a', 'b', 'c']);
    const body = { kind: 'DeleteOptions', apiVersion: 'v1', dryRun: ['All'] };
    expect((await ask('DELETE', GIZMOS, { body })).status).toBe(200);
    expect(left()).toEqual(before);
  });

  test.each([
    ['labelSelector=a%3D%3D%3D', undefined, 400],
    ['fieldSelector=spec.size%3D1', undefined, 400],
    ['dryRun=Some', undefined, 422],
    ['', { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Odd' }, 422],
    ['', 'no object', 400],
  ])('%j with %j is refused before anything is deleted', async (query, body, code) => {
    const { ask, left } = await served(protocol);
    const before = left();
    const { status } = await ask('DELETE', `${GIZMOS}?${query}`, body === undefined ? {} : { body });
    expect(status).toBe(code);
    expect(left()).toEqual(before);
  });

  test('an answer that cannot be given keeps it from being done', async () => {
    const { ask, left } = await served(protocol);
    const headers = { accept: 'application/vnd.kubernetes.protobuf' };
    expect((await ask('DELETE', GIZMOS, { headers })).status).toBe(406);
    expect(left()).toHaveLength(4);
  });

  test('there is none for all namespaces', async () => {
    const { ask, left } = await served(protocol);
    expect((await ask('DELETE', `${GROUP}/gizmos`)).status).toBe(405);
    expect(left()).toHaveLength(4);
  });
});
