import { describe, expect, test } from 'vitest';
import { GIZMOS, gizmo, serveGizmoA } from './testing/gizmos.ts';
import { GROUP, protocols } from './testing/widgets.ts';

const A = `${GIZMOS}/a`;
const MERGE = 'application/merge-patch+json';

describe.each(protocols)('%s', (protocol) => {
  describe('create', () => {
    test('answers 201 with what the server says of the object', async () => {
      const { ask, gizmos } = await serveGizmoA(protocol);
      const { status, body } = await ask('POST', GIZMOS, {
        body: {
          ...gizmo('b'),
          metadata: { name: 'b', uid: 'mine', creationTimestamp: null, managedFields: [], generation: 9 },
        },
      });
      expect(status).toBe(201);
      expect(body).toEqual({
        ...gizmo('b'),
        metadata: {
          name: 'b',
          namespace: 'ns',
          resourceVersion: '3',
          uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
          creationTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        },
      });
      expect(gizmos.get('b', 'ns')).toEqual(body);
    });

    test('kind and version may be missing, and YAML is as good', async () => {
      const { ask } = await serveGizmoA(protocol);
      const bare = await ask('POST', GIZMOS, { body: { metadata: { name: 'b' }, spec: { size: 2 } } });
      expect([bare.status, bare.body.kind, bare.body.apiVersion]).toEqual([201, 'Gizmo', 'example.dev/v1']);
      const yaml = await ask('POST', GIZMOS, {
        type: 'application/yaml; charset=utf-8',
        body: 'kind: Gizmo\nmetadata: &m\n  name: c\nspec: {size: 3, settings: {a: "1"}}\n',
      });
      expect(yaml.body).toMatchObject({ metadata: { name: 'c' }, spec: { size: 3, settings: { a: '1' } } });
    });

    test('a generated name is made anew where it is taken, and not for ever', async () => {
      const { ask, resource } = await serveGizmoA(protocol);
      const generated = { ...gizmo(''), metadata: { generateName: 'g-' } };
      const { status, body } = await ask('POST', GIZMOS, { body: generated });
      expect([status, body.metadata.name]).toEqual([
        201,
        expect.stringMatching(/^g-[b-df-hj-np-tv-z2-9]{5}$/),
      ]);
      const create = resource.create?.bind(resource);
      let tries = 0;
      Object.assign(resource, {
        create: (...args: Parameters<NonNullable<typeof create>>) => {
          tries += 1;
          return tries < 3 ? create?.(gizmo('a'), args[1]) : create?.(...args);
        },
      });
      expect((await ask('POST', GIZMOS, { body: generated })).status).toBe(201);
      expect(tries).toBe(3);
      Object.assign(resource, { create: () => create?.(gizmo('a'), { namespace: 'ns' } as never) });
      expect((await ask('POST', GIZMOS, { body: generated })).status).toBe(409);
    });

    test.each([
      ['a name that is taken', gizmo('a'), 409, 'AlreadyExists', 'gizmos.example.dev "a" already exists'],
      [
        'no name',
        { spec: { size: 1 } },
        422,
        'Invalid',
        'metadata.name: Required value: name or generateName',
      ],
      [
        'a bad name',
        gizmo('A_b'),
        422,
        'Invalid',
        'metadata.name: Invalid value: "A_b": a lowercase RFC 1123',
      ],
      [
        'another namespace',
        { ...gizmo('b'), metadata: { name: 'b', namespace: 'other' } },
        ...[400, 'BadRequest', 'the namespace of the provided object does not match'],
      ],
      [
        'a resource version',
        { ...gizmo('b'), metadata: { name: 'b', resourceVersion: '7' } },
        ...[400, 'BadRequest', 'resourceVersion should not be set on objects to be created'],
      ],
      [
        'another version',
        { ...gizmo('b'), apiVersion: 'example.dev/v2' },
        ...[400, 'BadRequest', 'the API version in the data (example.dev/v2) does not match the expected'],
      ],
      ['another kind', { ...gizmo('b'), kind: 'Odd' }, 400, 'BadRequest', 'cannot be handled as a Gizmo'],
      ['no object', [], 400, 'BadRequest', 'unrecognized (must be of type Gizmo)'],
      ['no metadata object', { metadata: [] }, 400, 'BadRequest', 'metadata that is no object'],
      [
        'bad labels',
        { ...gizmo('b'), metadata: { name: 'b', labels: { 'a/b/c': '' } } },
        422,
        'Invalid',
        'labels',
      ],
      [
        'labels of no text',
        { ...gizmo('b'), metadata: { name: 'b', labels: { a: 1 } } },
        422,
        'Invalid',
        'type string',
      ],
      ['no spec', { metadata: { name: 'b' } }, 422, 'Invalid', 'spec: Required value'],
      [
        'a wrong type',
        { metadata: { name: 'b' }, spec: { size: 'x' } },
        422,
        'Invalid',
        'spec.size in body must be of type integer: "string"',
      ],
      [
        'a wrong word',
        gizmo('b', { colour: 'pink' }),
        422,
        'Invalid',
        'spec.colour: Unsupported value: "pink": supported values: "red", "blue"',
      ],
      ['too small', gizmo('b', { size: -1 }), 422, 'Invalid', 'spec.size'],
      ['too large', gizmo('b', { size: 2 ** 40 }), 422, 'Invalid', 'int32'],
      ['no JSON', '{"a":', 400, 'BadRequest', 'invalid JSON'],
      ['no UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 400, 'BadRequest', 'not UTF-8'],
      ['a prototype', '{"metadata":{"name":"b","labels":{"__proto__":"x"}}}', 400, 'BadRequest', '__proto__'],
      ['a hidden prototype', '{"\\u005f_proto__":{"x":1}}', 400, 'BadRequest', '__proto__'],
      ['nothing', '', 400, 'BadRequest', 'invalid JSON'],
    ] as readonly (readonly [string, unknown, number, string, string])[])(
      '%s is refused',
      async (_, sent, code, reason, message) => {
        const { ask } = await serveGizmoA(protocol);
        const { status, body } = await ask('POST', GIZMOS, { body: sent });
        expect(body).toMatchObject({ kind: 'Status', code, reason });
        expect(body.message).toContain(message);
        expect(status).toBe(code);
      },
    );

    test('all that is wrong is told', async () => {
      const { ask } = await serveGizmoA(protocol);
      const sent = { ...gizmo('b'), spec: { colour: 'pink', parts: [{ count: 1 }, { name: 7 }] } };
      const { body } = await ask('POST', GIZMOS, { body: sent });
      const { causes } = body.details as { causes: { field: string }[] };
      expect(causes.map(({ field }) => field).sort()).toEqual([
        'spec.colour',
        'spec.parts[0].name',
        'spec.parts[1].name',
        'spec.size',
      ]);
    });
  });

  describe('update', () => {
    test("takes the place of the object, and keeps what is the server's", async () => {
      const { ask, gizmos } = await serveGizmoA(protocol);
      const sent = {
        ...gizmo('a', { size: 5 }),
        metadata: { name: 'a', creationTimestamp: 'x', labels: { l: '1' } },
      };
      const { status, body } = await ask('PUT', A, {
        body: { ...sent, metadata: { ...sent.metadata, creationTimestamp: '2020-01-01T00:00:00Z' } },
      });
      expect([status, body]).toEqual([
        200,
        {
          ...gizmo('a', { size: 5 }),
          metadata: {
            ...{ name: 'a', namespace: 'ns', uid: 'u-a', creationTimestamp: '2026-01-01T00:00:00Z' },
            ...{ labels: { l: '1' }, resourceVersion: '3' },
          },
        },
      ]);
      expect(gizmos.get('a', 'ns')).toEqual(body);
    });

    test.each([
      [
        'another name',
        A,
        gizmo('b'),
        400,
        'the name of the object (b) does not match the name on the URL (a)',
      ],
      ['no name', A, { spec: { size: 1 } }, 400, 'name must be provided'],
      [
        'another namespace',
        A,
        { ...gizmo('a'), metadata: { name: 'a', namespace: 'x' } },
        400,
        'the namespace of the object (x) does not match the namespace on the request (ns)',
      ],
      [
        'an old version',
        A,
        { ...gizmo('a'), metadata: { name: 'a', resourceVersion: '1' } },
        409,
        'Operation cannot be fulfilled on gizmos.example.dev "a": the object has been modified; please apply',
      ],
      [
        'another uid',
        A,
        { ...gizmo('a'), metadata: { name: 'a', uid: 'u-b' } },
        409,
        'Precondition failed: UID in precondition: u-b, UID in object meta: u-a',
      ],
      ['an object that is not there', `${GIZMOS}/b`, gizmo('b'), 404, 'gizmos.example.dev "b" not found'],
      [
        'what the resource refuses',
        A,
        gizmo('a', { size: 0 }),
        422,
        'spec.size: Invalid value: 0: may not shrink',
      ],
    ])('%s is refused', async (_, path, sent, code, message) => {
      const { ask, gizmos } = await serveGizmoA(protocol);
      const before = gizmos.resourceVersion;
      const { status, body } = await ask('PUT', path, { body: sent });
      expect([status, body.code]).toEqual([code, code]);
      expect(body.message).toContain(message);
      expect(gizmos.resourceVersion).toBe(before);
    });

    test('a status is written apart', async () => {
      const { ask, gizmos } = await serveGizmoA(protocol);
      const { status, body } = await ask('PUT', `${A}/status`, {
        body: { ...gizmo('a', { size: 9 }), status: { phase: 'Ready' } },
      });
      expect([status, body.spec.size, body.status]).toEqual([200, 1, { phase: 'Ready' }]);
      await ask('PUT', A, { body: { ...gizmo('a', { size: 2 }), status: { phase: 'Odd' } } });
      expect(gizmos.get('a', 'ns')).toMatchObject({ spec: { size: 2 }, status: { phase: 'Ready' } });
      expect((await ask('GET', `${A}/status`)).body.status).toEqual({ phase: 'Ready' });
    });
  });

  test('an answer that cannot be given keeps its write from being made', async () => {
    const { ask, gizmos } = await serveGizmoA(protocol);
    for (const [method, path] of [
      ['POST', GIZMOS],
      ['PUT', A],
      ['PATCH', A],
      ['DELETE', A],
    ] as const) {
      const headers = { accept: 'application/vnd.kubernetes.protobuf' };
      const type = method === 'PATCH' ? MERGE : 'application/json';
      const body = gizmo(method === 'POST' ? 'b' : 'a', { size: 7 });
      const { status } = await ask(method, path, { headers, type, ...(method === 'DELETE' ? {} : { body }) });
      expect(status).toBe(406);
    }
    expect(gizmos.resourceVersion).toBe('2');
  });

  test('a write is shown as it is asked for', async () => {
    const { ask } = await serveGizmoA(protocol);
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
    const { status, body } = await ask('POST', GIZMOS, {
      headers: { accept },
      body: gizmo('b', { size: 3 }),
    });
    expect([status, body.kind, body.rows[0].cells]).toEqual([201, 'Table', ['b', 3]]);
  });

  test('namespaces are apart', async () => {
    const { ask } = await serveGizmoA(protocol);
    const other = `${GROUP}/namespaces/other/gizmos`;
    expect(
      (await ask('POST', other, { body: { ...gizmo('a', { size: 8 }), metadata: { name: 'a' } } })).status,
    ).toBe(201);
    const names = async (path: string) => {
      const { items } = (await ask('GET', path)).body as {
        items: { metadata: { name: string; namespace: string } }[];
      };
      return items.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
    };
    expect(await names(other)).toEqual(['other/a']);
    expect(await names(`${GROUP}/gizmos`)).toEqual(['ns/a', 'other/a']);
    expect(await names(`${GROUP}/gizmos?fieldSelector=metadata.namespace%3Dns`)).toEqual(['ns/a']);
    expect(await names(`${GROUP}/namespaces/none/gizmos`)).toEqual([]);
    expect((await ask('GET', `${other}/a`)).body.spec.size).toBe(8);
    expect((await ask('GET', A)).body.spec.size).toBe(1);
    for (const [method, path, code] of [
      ['POST', `${GROUP}/gizmos`, 405],
      ['DELETE', `${GROUP}/gizmos`, 405],
      ['POST', `${other}/a`, 405],
      ['POST', `${other}/a/status`, 405],
      ['DELETE', `${other}/a/status`, 405],
      ['GET', `${GROUP}/gizmos/a`, 404],
      ['PUT', `${GROUP}/gizmos/a`, 404],
      ['GET', `${other}/a/nope`, 404],
      ['GET', `${other}/a/status/x`, 404],
      ['GET', `${GROUP}/namespaces//gizmos/a`, 404],
      ['GET', `${GROUP}/namespaces/../gizmos/a`, 404],
      ['GET', `${GROUP}/namespaces/other%2Fx/gizmos/a`, 404],
    ] as const) {
      const { status, body } = await ask(method, path);
      expect([method, path, status, body.kind]).toEqual([method, path, code, 'Status']);
    }
  });
});
