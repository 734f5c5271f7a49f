import { describe, expect, test } from 'vitest';
import { GIZMOS, gizmo, serveGizmoA } from './testing/gizmos.ts';
import { protocols } from './testing/widgets.ts';

const A = `${GIZMOS}/a`;
const MERGE = 'application/merge-patch+json';

describe.each(protocols)('%s', (protocol) => {
  test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('%s with ?dryRun=All keeps nothing', async (method) => {
    const { ask, gizmos } = await serveGizmoA(protocol);
    const before = [gizmos.resourceVersion, gizmos.list()];
    const name = method === 'POST' ? 'b' : 'a';
    const { status } = await ask(method, `${method === 'POST' ? GIZMOS : A}?dryRun=All`, {
      ...(method === 'DELETE' ? {} : { body: gizmo(name, { size: 3 }) }),
      ...(method === 'PATCH' ? { type: MERGE } : {}),
    });
    expect(status).toBe(method === 'POST' ? 201 : 200);
    expect([gizmos.resourceVersion, gizmos.list()]).toEqual(before);
  });

  test.each([
    ['dryRun=None', 'dryRun: Unsupported value: "None": supported values: "All"'],
    ['dryRun=', 'dryRun: Unsupported value: "": supported values: "All"'],
    ['fieldValidation=Odd', 'fieldValidation: Unsupported value: "Odd": supported values: "", "Ignore"'],
    [`fieldManager=${'x'.repeat(129)}`, 'fieldManager: Too long: may not be more than 128 bytes'],
    ['fieldManager=a%0Ab', 'fieldManager: Invalid value: "a\\nb": should only contain printable characters'],
  ])('?%s is 422 for every write', async (query, message) => {
    const { ask, gizmos } = await serveGizmoA(protocol);
    for (const [method, path, kind] of [
      ['POST', GIZMOS, 'CreateOptions'],
      ['PUT', A, 'UpdateOptions'],
      ['PATCH', A, 'PatchOptions'],
    ] as const) {
      const type = method === 'PATCH' ? MERGE : 'application/json';
      const { status, body } = await ask(method, `${path}?${query}`, { body: gizmo('a', { size: 2 }), type });
      expect(status).toBe(422);
      expect(body.message).toContain(`${kind}.meta.k8s.io "" is invalid: ${message}`);
      expect(body.details.causes).toHaveLength(1);
    }
    expect(gizmos.resourceVersion).toBe('2');
  });

  test('force belongs to server-side apply', async () => {
    const { ask } = await serveGizmoA(protocol);
    const { status, body } = await ask('PATCH', `${A}?force=true`, { type: MERGE, body: {} });
    expect(status).toBe(422);
    expect(body.message).toContain('force: Forbidden: may not be specified for non-apply patch');
  });

  describe('fields that nobody knows, or that stand twice', () => {
    const text =
      '{"metadata":{"name":"NAME","odd":1},"spec":{"size":1,"size":2,"color":"red","parts":[{"name":"x","name":"y"}]}}';
    const odd = [
      'duplicate field "spec.size"',
      'duplicate field "spec.parts[0].name"',
      'unknown field "metadata.odd"',
      'unknown field "spec.color"',
    ];

    test.each([
      ['POST', GIZMOS, 'b'],
      ['PUT', A, 'a'],
      ['PATCH', A, 'a'],
    ])('%s: warned of, refused, or left out', async (method, path, name) => {
      const { ask, gizmos } = await serveGizmoA(protocol);
      const body = text.replace('NAME', name);
      const type = method === 'PATCH' ? MERGE : 'application/json';
      const strict = await ask(method, `${path}?fieldValidation=Strict`, { body, type });
      expect(strict.status).toBe(method === 'PATCH' ? 422 : 400);
      expect(strict.body.message).toContain(`strict decoding error: ${odd.join(', ')}`);
      const ignored = await ask(method, `${path}?fieldValidation=Ignore&dryRun=All`, { body, type });
      expect(ignored.headers['warning']).toBeUndefined();
      for (const query of ['', '?fieldValidation=Warn']) {
        const warned = await ask(method, `${path}${query}`, {
          body: body.replace('"b"', `"b${query.length}"`),
          type,
        });
        expect(warned.body.spec).toEqual({
          ...(method === 'PATCH' ? { colour: 'red' } : {}),
          size: 2,
          parts: [{ name: 'y' }],
        });
        expect(warned.headers['warning']).toBe(
          odd.map((each) => `299 - "${each.replaceAll('"', '\\"')}"`).join(', '),
        );
      }
      expect(JSON.stringify(gizmos.list())).not.toContain('odd');
    });
  });

  describe('delete', () => {
    test('answers a Status that names the object', async () => {
      const { ask, gizmos } = await serveGizmoA(protocol);
      const { status, body } = await ask('DELETE', A);
      expect([status, body]).toEqual([
        200,
        {
          ...{ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' },
          details: { name: 'a', group: 'example.dev', kind: 'gizmos', uid: 'u-a' },
        },
      ]);
      expect(gizmos.get('a', 'ns')).toBeUndefined();
      expect((await ask('DELETE', A)).status).toBe(404);
    });

    test('of an object with finalizers answers the object, which goes with the last of them', async () => {
      const { ask, gizmos } = await serveGizmoA(protocol);
      await ask('PATCH', A, { type: MERGE, body: { metadata: { finalizers: ['example.dev/f'] } } });
      const { status, body } = await ask('DELETE', A);
      expect([status, body.kind, typeof body.metadata.deletionTimestamp]).toEqual([200, 'Gizmo', 'string']);
      await ask('PATCH', A, { type: MERGE, body: { metadata: { deletionTimestamp: null } } });
      expect(gizmos.get('a', 'ns')?.metadata.deletionTimestamp).toBe(body.metadata.deletionTimestamp);
      await ask('PATCH', A, { type: MERGE, body: { metadata: { finalizers: null } } });
      expect(gizmos.get('a', 'ns')).toBeUndefined();
    });

    test.each([
      ['', { preconditions: { uid: 'u-b' } }, 409, 'another UID'],
      ['', { preconditions: { resourceVersion: '1' } }, 409, 'another ResourceVersion'],
      ['', { preconditions: { uid: 7 } }, 400, 'uid has the wrong type'],
      ['', { kind: 'Odd' }, 400, 'cannot be converted to DeleteOptions'],
      ['', { apiVersion: 'v9' }, 400, 'cannot be converted to DeleteOptions'],
      ['', [], 400, 'must be an object'],
      ['', '{', 400, 'invalid JSON'],
      [
        '',
        { propagationPolicy: 'Odd' },
        422,
        'propagationPolicy: Unsupported value: "Odd": supported values: "Foreground", "Background", "Orphan", "nil"',
      ],
      ['?propagationPolicy=Odd', undefined, 422, 'propagationPolicy: Unsupported value'],
      ['', { orphanDependents: true, propagationPolicy: 'Orphan' }, 422, 'cannot be both set'],
      ['', { dryRun: ['None'] }, 422, 'dryRun: Unsupported value: "None"'],
      ['?dryRun=None', undefined, 422, 'dryRun: Unsupported value: "None"'],
      ['?gracePeriodSeconds=x', undefined, 400, 'gracePeriodSeconds'],
      ['', { gracePeriodSeconds: 1.5 }, 400, 'gracePeriodSeconds'],
    ])('%s %j is refused', async (query, sent, code, message) => {
      const { ask, gizmos } = await serveGizmoA(protocol);
      const { status, body } = await ask('DELETE', `${A}${query}`, {
        ...(sent === undefined ? {} : { body: sent }),
      });
      expect([status, body.code]).toEqual([code, code]);
      expect(body.message).toContain(message);
      expect(gizmos.get('a', 'ns')).toBeDefined();
    });

    test('options reach the resource', async () => {
      const { ask, resource } = await serveGizmoA(protocol);
      const seen: unknown[] = [];
      Object.assign(resource, {
        delete: (
          name: string,
          request: unknown,
          { dryRun, namespace }: { dryRun: boolean; namespace: string },
        ) => {
          seen.push([name, request, dryRun, namespace]);
          return gizmo('a');
        },
      });
      const preconditions = { uid: 'u-a', resourceVersion: '2' };
      const body = {
        kind: 'DeleteOptions',
        apiVersion: 'v1',
        gracePeriodSeconds: -7,
        orphanDependents: false,
        dryRun: ['All'],
        preconditions,
      };
      await ask('DELETE', A, { body });
      await ask('DELETE', `${A}?gracePeriodSeconds=5&propagationPolicy=Foreground`);
      expect(seen).toEqual([
        ['a', { preconditions, gracePeriodSeconds: 1, propagationPolicy: 'Background' }, true, 'ns'],
        ['a', { preconditions: {}, gracePeriodSeconds: 5, propagationPolicy: 'Foreground' }, false, 'ns'],
      ]);
    });
  });

  test('warnings are bounded', async () => {
    const { ask } = await serveGizmoA(protocol);
    const odd = Object.fromEntries(
      Array.from({ length: 300 }, (_, at) => [`odd-${at}-${'x'.repeat(40)}é`, 1]),
    );
    const { status, headers } = await ask('PUT', A, { body: { ...gizmo('a', { size: 2 }), ...odd } });
    expect(status).toBe(200);
    const text = String(headers['warning']);
    expect(text.length).toBeGreaterThan(3_000);
    expect(text.length).toBeLessThan(4_400);
  });
});
