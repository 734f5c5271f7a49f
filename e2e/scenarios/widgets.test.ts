import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

import { type Gizmo, gizmoResource } from '../../src/apiserver/testing/gizmos.ts';
import { serveWidgets } from '../../src/apiserver/testing/widgets.ts';
import { WatchCache } from '../../src/apiserver/watch-cache.ts';
import { ensureBinaries } from '../kube/binaries.ts';
import { pinnedRelease } from '../kube/catalogue.ts';
import { describeWorld } from '../worlds/describe-world.ts';
import { createKubectl, type Kubectl } from '../worlds/kubectl.ts';

const manifest = (name: string, spec: object, rest: object = {}): string =>
  JSON.stringify({ apiVersion: 'example.dev/v1', kind: 'Gizmo', metadata: { name, ...rest }, spec });

/** A resource that only the tests know, on our own listener: kubectl talks to it with no hub in between. */
await describeWorld('kubectl and a resource with all verbs', () => {
  let kubectl: Kubectl;
  let directory: string;
  let kubeconfig: string;
  let gizmos: WatchCache<Gizmo>;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'widgets-'));
    const { kubectl: binary } = await ensureBinaries('control-plane');
    kubectl = await createKubectl({ binary, release: pinnedRelease }, directory);
  });
  afterAll(async () => await rm(directory, { recursive: true, force: true }));

  beforeEach(async () => {
    gizmos = new WatchCache<Gizmo>();
    const { port } = await serveWidgets({ resources: [gizmoResource(gizmos)] });
    kubeconfig = join(directory, `kubeconfig-${port}`);
    const cluster = { server: `https://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true };
    const config = {
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'w' },
      clusters: [{ name: 'w', cluster }],
      users: [{ name: 'w', user: { token: 'any' } }],
      contexts: [{ name: 'w', context: { cluster: 'w', user: 'w', namespace: 'ns' } }],
    };
    await writeFile(kubeconfig, JSON.stringify(config));
  });

  const run = async (line: string, stdin?: string, env: Record<string, string> = {}) =>
    await kubectl.run(line.split(' '), { kubeconfig, env, ...(stdin === undefined ? {} : { stdin }) });
  const ok = async (line: string, stdin?: string, env?: Record<string, string>) => {
    const result = await run(line, stdin, env);
    expect(result, `${line}: ${result.stderr}`).toMatchObject({ code: 0 });
    return result;
  };

  test('create, get, label, patch, edit, delete', async () => {
    expect((await ok('create -f -', manifest('a', { size: 1 }))).stdout).toBe(
      'gizmo.example.dev/a created\n',
    );
    expect((await run('create -f -', manifest('a', { size: 1 }))).stderr).toContain('AlreadyExists');
    expect((await ok('get gz')).stdout).toMatch(/^NAME +SIZE\na +1\n$/);
    expect((await ok('get gizmo a -o jsonpath={.spec.size}')).stdout).toBe('1');
    await ok('label gizmo a l=1');
    await ok('annotate gizmo a x=y');
    expect((await ok('get gizmos -l l=1 -o name')).stdout).toBe('gizmo.example.dev/a\n');
    await ok('patch gizmo a --type=merge -p {"spec":{"size":2}}');
    await ok('patch gizmo a --type=json -p [{"op":"replace","path":"/spec/size","value":3}]');
    await ok('patch gizmo a --subresource=status --type=merge -p {"status":{"phase":"Ready"}}');
    expect(gizmos.get('a', 'ns')).toMatchObject({ spec: { size: 3 }, status: { phase: 'Ready' } });
    const strategic = await run('patch gizmo a --type=strategic -p {"spec":{"size":4}}');
    expect([strategic.code, strategic.stderr]).toEqual([
      1,
      expect.stringMatching(/strategic merge|unknown format/),
    ]);
    await ok('edit gizmo a', undefined, { KUBE_EDITOR: `sed -i 's/size: 3/size: 7/'` });
    expect(gizmos.get('a', 'ns')?.spec.size).toBe(7);
    await ok('wait gizmo a --for=jsonpath={.status.phase}=Ready --timeout=5s');
    expect((await ok('delete gizmo a --dry-run=server')).stdout).toContain('(server dry run)');
    expect(gizmos.get('a', 'ns')).toBeDefined();
    expect((await ok('delete gizmo a')).stdout).toContain('gizmo.example.dev "a" deleted');
    expect(gizmos.list().items).toEqual([]);
    expect((await run('delete gizmo a')).stderr).toContain('gizmos.example.dev "a" not found');
  });

  test("apply on the client, with its checks and the server's", async () => {
    expect((await ok('apply -f -', manifest('a', { size: 1, colour: 'red' }))).stdout).toContain('created');
    expect((await ok('apply -f -', manifest('a', { size: 1, colour: 'red' }))).stdout).toContain('unchanged');
    expect((await ok('apply -f -', manifest('a', { size: 2 }))).stdout).toContain('configured');
    expect(gizmos.get('a', 'ns')?.spec).toEqual({ size: 2 });
    expect((await ok('apply --dry-run=server -f -', manifest('a', { size: 9 }))).stdout).toContain('dry run');
    expect((await run('diff -f -', manifest('a', { size: 9 }))).stdout).toContain('+  size: 9');
    expect(gizmos.get('a', 'ns')?.spec).toEqual({ size: 2 });
    const strict = await run('apply --validate=strict -f -', manifest('a', { size: 2, odd: 1 }));
    expect([strict.code, strict.stderr]).toEqual([1, expect.stringContaining('unknown field "spec.odd"')]);
    const warned = await ok('apply --validate=warn -f -', manifest('a', { size: 3, odd: 1 }));
    expect(warned.stderr).toContain('Warning: unknown field "spec.odd"');
    const wrong = await run('apply -f -', manifest('a', { size: 'x' }));
    expect(wrong.stderr).toContain('must be of type integer');
    const shrunk = await run('apply -f -', manifest('a', { size: 1 }));
    expect(shrunk.stderr).toContain('spec.size: Invalid value: 1: may not shrink');
    const server = await run('apply --server-side -f -', manifest('a', { size: 9 }));
    expect([server.code, gizmos.get('a', 'ns')?.spec.size]).toEqual([1, 3]);
  });

  test('replace with an old version is a conflict', async () => {
    await ok('create -f -', manifest('a', { size: 1 }));
    const old = gizmos.get('a', 'ns')?.metadata.resourceVersion;
    await ok('replace -f -', manifest('a', { size: 2 }));
    const stale = await run('replace -f -', manifest('a', { size: 3 }, { resourceVersion: old }));
    expect(stale.stderr).toContain('the object has been modified; please apply your changes');
  });

  test('explain, api-resources, namespaces and pages', async () => {
    expect((await ok('explain gizmo.spec.parts')).stdout).toMatch(/count\t<integer>\n.*How many/s);
    expect((await ok('api-resources --api-group=example.dev -o wide')).stdout).toMatch(
      /gizmos +gz +example.dev\/v1 +true +Gizmo +create,delete,deletecollection,get,list,patch,update,watch/,
    );
    for (const name of ['a', 'b', 'c', 'd', 'e']) await ok('create -f -', manifest(name, { size: 1 }));
    await ok('create -n other -f -', manifest('z', { size: 1 }));
    expect((await ok('get gizmos --chunk-size=2 -o name')).stdout.split('\n')).toHaveLength(6);
    expect((await ok('get gizmos -A --no-headers')).stdout.split('\n')).toHaveLength(7);
    expect((await ok('delete gizmos --all -n other')).stdout).toContain('"z" deleted');
    expect(gizmos.list().items).toHaveLength(5);
    await ok('delete --raw /apis/example.dev/v1/namespaces/ns/gizmos?fieldSelector=metadata.name%3Da');
    expect(gizmos.list().items).toHaveLength(4);
    await ok('delete --raw /apis/example.dev/v1/namespaces/ns/gizmos');
    expect(gizmos.list().items).toEqual([]);
  });
});
