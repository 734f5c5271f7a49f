import { describe, expect, test } from 'vitest';
import { conflict } from '../kube/status.ts';
import { GIZMOS, gizmo, serveGizmoA } from './testing/gizmos.ts';
import { protocols } from './testing/widgets.ts';

const A = `${GIZMOS}/a`;
const MERGE = 'application/merge-patch+json';
const JSON_PATCH = 'application/json-patch+json';

describe.each(protocols)('%s', (protocol) => {
  describe('patch', () => {
    test('a merge patch', async () => {
      const { ask } = await serveGizmoA(protocol);
      const { status, body } = await ask('PATCH', A, {
        type: MERGE,
        body: { metadata: { labels: { l: '1' } }, spec: { size: 4, colour: null } },
      });
      expect([status, body.spec, body.metadata]).toEqual([
        200,
        { size: 4 },
        expect.objectContaining({ uid: 'u-a', labels: { l: '1' }, resourceVersion: '3' }),
      ]);
    });

    test('a JSON patch', async () => {
      const { ask } = await serveGizmoA(protocol);
      const { status, body } = await ask('PATCH', A, {
        type: JSON_PATCH,
        body: [
          { op: 'test', path: '/spec/colour', value: 'red' },
          { op: 'replace', path: '/spec/size', value: 4 },
          { op: 'add', path: '/spec/settings', value: { 'a/b': 'x' } },
          { op: 'remove', path: '/spec/settings/a~1b' },
        ],
      });
      expect([status, body.spec]).toEqual([200, { size: 4, colour: 'red', settings: {} }]);
    });

    test('of a subresource', async () => {
      const { ask } = await serveGizmoA(protocol);
      const merged = await ask('PATCH', `${A}/status`, { type: MERGE, body: { status: { phase: 'Ready' } } });
      expect([merged.status, merged.body.status]).toEqual([200, { phase: 'Ready' }]);
      const patched = await ask('PATCH', `${A}/status`, {
        type: JSON_PATCH,
        body: [{ op: 'replace', path: '/status/phase', value: 'Odd' }],
      });
      expect([patched.status, patched.body.status]).toEqual([200, { phase: 'Odd' }]);
      expect((await ask('PATCH', `${GIZMOS}/b/status`, { type: MERGE, body: {} })).status).toBe(404);
    });

    test.each([
      ['strategic merge', 'application/strategic-merge-patch+json', {}, 415],
      ['server-side apply', 'application/apply-patch+yaml', {}, 415],
      ['plain JSON', 'application/json', {}, 415],
      ['no type', undefined, {}, 415],
    ])('%s is refused', async (_, type, sent, code) => {
      const { ask } = await serveGizmoA(protocol);
      const { status, body } = await ask('PATCH', A, { body: sent, ...(type === undefined ? {} : { type }) });
      expect([status, body.reason]).toEqual([code, 'UnsupportedMediaType']);
      expect(body.message).toBe(
        'the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json',
      );
    });

    const rejected = 'the server rejected our request due to an error in our request';
    test.each([
      [MERGE, [], 400, 'a merge patch must be an object'],
      [MERGE, { metadata: { name: 'b' } }, 400, 'the name of the object (b) does not match'],
      [MERGE, { metadata: { namespace: 'b' } }, 400, 'the namespace of the object (b) does not match'],
      [MERGE, { metadata: { uid: 'u-b' } }, 422, 'metadata.uid: Invalid value: "u-b": field is immutable'],
      [MERGE, { metadata: { resourceVersion: '1' } }, 409, 'the object has been modified'],
      [MERGE, { kind: 'Odd' }, 422, 'patch: Invalid value'],
      [MERGE, { metadata: 7 }, 422, 'patch: Invalid value'],
      [MERGE, { spec: { size: 'x' } }, 422, 'must be of type integer'],
      [MERGE, { spec: null }, 422, 'spec: Required value'],
      [MERGE, '{"__proto__":{}}', 400, '__proto__'],
      [JSON_PATCH, {}, 400, 'must be an array'],
      [JSON_PATCH, [{ op: 'odd', path: '/a' }], 400, 'operation 0 of the JSON patch has an unknown op'],
      [JSON_PATCH, [{ op: 'test', path: '/spec/size', value: 2 }], 422, rejected],
      [JSON_PATCH, [{ op: 'remove', path: '/spec/nope' }], 422, rejected],
      [JSON_PATCH, [{ op: 'replace', path: '', value: 7 }], 422, 'patch: Invalid value'],
      [JSON_PATCH, [{ op: 'add', path: '/__proto__/x', value: 7 }], 422, rejected],
      [JSON_PATCH, [{ op: 'add', path: '/spec/__proto__', value: 7 }], 422, rejected],
      [JSON_PATCH, [{ op: 'add', path: '/constructor/prototype/x', value: 7 }], 422, rejected],
      [JSON_PATCH, Array(10_001).fill({ op: 'test', path: '/spec/size', value: 1 }), 413, '10000, got 10001'],
    ])('%s %j is refused', async (type, sent, code, message) => {
      const { ask, gizmos } = await serveGizmoA(protocol);
      const before = gizmos.get('a', 'ns');
      const { status, body } = await ask('PATCH', A, { type, body: sent });
      expect([status, body.code]).toEqual([code, code]);
      expect(body.message).toContain(message);
      expect(gizmos.get('a', 'ns')).toBe(before);
      expect(({} as { x?: unknown }).x).toBeUndefined();
    });

    test('is applied anew to an object that changed meanwhile, five times and no more', async () => {
      const { ask, resource, gizmos } = await serveGizmoA(protocol);
      const update = resource.update?.bind(resource);
      let tries = 0;
      let conflicts = 2;
      Object.assign(resource, {
        update: (...args: Parameters<NonNullable<typeof update>>) => {
          tries += 1;
          if (tries > conflicts) return update?.(...args);
          gizmos.upsert({
            ...gizmo('a', { size: 10 * tries }),
            metadata: { name: 'a', namespace: 'ns', uid: 'u-a' },
          });
          return update?.(...args);
        },
      });
      const { body } = await ask('PATCH', A, { type: MERGE, body: { spec: { colour: 'blue' } } });
      expect([tries, body.spec]).toEqual([3, { size: 20, colour: 'blue' }]);
      [tries, conflicts] = [0, Infinity];
      expect((await ask('PATCH', A, { type: MERGE, body: { spec: { colour: 'red' } } })).status).toBe(409);
      expect(tries).toBe(6);
      const { resourceVersion } = gizmos.get('a', 'ns')?.metadata ?? {};
      [tries, conflicts] = [0, 1];
      const bound = { metadata: { resourceVersion }, spec: { colour: 'red' } };
      expect((await ask('PATCH', A, { type: MERGE, body: bound })).status).toBe(409);
      expect(tries).toBeLessThan(3);
    });

    test('a conflict that is no version is not hidden', async () => {
      const { ask, resource } = await serveGizmoA(protocol);
      Object.assign(resource, {
        update: () => {
          throw conflict({ group: 'example.dev', resource: 'gizmos' }, 'a', 'for ever');
        },
      });
      const { status, body } = await ask('PATCH', A, { type: MERGE, body: {} });
      expect([status, body.message]).toEqual([
        409,
        'Operation cannot be fulfilled on gizmos.example.dev "a": for ever',
      ]);
    });
  });
});
