import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';

import { registerCluster } from '../worlds/register.ts';
import { until } from '../worlds/wait.ts';
import type { Answer } from './registration-client.ts';
import { describeGateway } from './registration-world.ts';
import { readWatch, type WatchReader } from './watch-reader.ts';

const group = 'cluster.core.oam.dev';
const clusters = `/apis/${group}/v1alpha1/clustergateways`;
const meta = (kind: string): string => `application/json;as=${kind};g=meta.k8s.io;v=v1`;

/** What these tests read of a list, a Table and a Status. */
interface Body {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly { readonly metadata: { readonly name: string }; readonly kind?: string }[];
  readonly columnDefinitions: readonly { readonly name: string }[];
  readonly rows: readonly { readonly cells: readonly unknown[]; readonly object?: { kind?: string } }[];
}

await describeGateway('clustergateways as every client may ask for them, through the hub', (world) => {
  beforeAll(async () => {
    const { kube } = world();
    await registerCluster(kube, 'foo', {
      ...{ cluster: kube.a, credential: 'X509Certificate', labels: { a: 'b' } },
    });
    await registerCluster(kube, 'bar', { cluster: kube.b, credential: 'X509Certificate' });
    const both = async (): Promise<true | undefined> => (await namesIn('')).length === 2 || undefined;
    await until('both clusters', both, { timeoutMs: 5000 });
  });

  const get = (query: string, ...headers: string[]): Promise<Answer> =>
    world().hub.call(clusters + query, { headers });
  const bodyOf = ({ text }: Answer): Body => JSON.parse(text) as Body;
  const namesIn = async (query: string): Promise<readonly string[]> =>
    bodyOf(await get(query)).items.map(({ metadata }) => metadata.name);

  /** A refusal in the words of Kubernetes. */
  function expectStatus(answer: Answer, code: number, reason: string): void {
    expect(answer.headers['content-type']).toBe('application/json');
    expect(answer.json()).toMatchObject({ kind: 'Status', status: 'Failure', code, reason });
    expect(answer.status).toBe(code);
  }

  describe('representations', () => {
    test('[18] a Table has no object, its metadata, or all of it', async () => {
      const shown: Record<string, unknown> = {};
      for (const include of ['None', 'Metadata', 'Object']) {
        const table = bodyOf(await get(`?includeObject=${include}`, 'Accept', meta('Table')));
        expect(table).toMatchObject({ kind: 'Table', apiVersion: 'meta.k8s.io/v1' });
        expect(table.columnDefinitions.map(({ name }) => name).slice(0, 5)).toEqual([
          ...['Name', 'Provider', 'Credential-Type', 'Endpoint-Type', 'Healthy'],
        ]);
        expect(table.rows.map(({ cells }) => cells[0])).toEqual(['bar', 'foo']);
        shown[include] = table.rows[1]?.object;
      }
      expect(shown).toMatchObject({
        Metadata: { kind: 'PartialObjectMetadata', metadata: { name: 'foo' } },
        Object: { kind: 'ClusterGateway', metadata: { name: 'foo' }, spec: { access: {} } },
      });
      expect(shown['None'] ?? null).toBeNull();
      expect(shown['Metadata']).not.toHaveProperty('spec');
      expectStatus(await get('?includeObject=Bad', 'Accept', meta('Table')), 400, 'BadRequest');
    });

    test('[19] PartialObjectMetadataList is metadata alone', async () => {
      const list = bodyOf(await get('', 'Accept', meta('PartialObjectMetadataList')));
      expect(list).toMatchObject({ kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1' });
      expect(list.items).toHaveLength(2);
      for (const item of list.items)
        expect(Object.keys(item).filter((key) => !['kind', 'apiVersion'].includes(key))).toEqual([
          'metadata',
        ]);
    });

    test('[20] protobuf alone is not acceptable; clients that take JSON too get JSON', async () => {
      const protobuf = 'application/vnd.kubernetes.protobuf';
      expectStatus(await get('', 'Accept', protobuf), 406, 'NotAcceptable');
      const answer = await get('', 'Accept', `${protobuf},application/json`);
      expect(answer.headers['content-type']).toBe('application/json');
      expect(bodyOf(answer)).toMatchObject({ kind: 'ClusterGatewayList' });
    });

    test('[21] YAML', async () => {
      const answer = await get('', 'Accept', 'application/yaml');
      expect(answer.headers['content-type']).toBe('application/yaml');
      expect(answer.text).toMatch(/^apiVersion: |^kind: /);
      expect(parse(answer.text)).toEqual(bodyOf(await get('')));
    });

    test('[22] indented where asked for, and for curl', async () => {
      expect((await get('?pretty=1')).text).toMatch(/^\{\n {2}"/);
      expect((await get('', 'User-Agent', 'curl/8.5.0')).text).toMatch(/^\{\n {2}"/);
      expect((await get('?pretty=0', 'User-Agent', 'curl/8.5.0')).text).toMatch(/^\{"/);
      expect((await get('')).text).toMatch(/^\{"/);
    });
  });

  describe('lists', () => {
    test('[23] by label', async () => {
      expect(await namesIn('?labelSelector=a%3Db')).toEqual(['foo']);
      expect(await namesIn('?labelSelector=!a')).toEqual(['bar']);
      expectStatus(await get('?labelSelector=a%3Db%3Dc'), 400, 'BadRequest');
    });

    test('[24] by name', async () => {
      expect(await namesIn('?fieldSelector=metadata.name%3Dfoo')).toEqual(['foo']);
      expect(await namesIn('?fieldSelector=metadata.name!%3Dfoo')).toEqual(['bar']);
      expectStatus(await get('?fieldSelector=spec.x%3D1'), 400, 'BadRequest');
    });

    test('[25] an exact match needs a version', async () => {
      const answer = await get('?resourceVersionMatch=Exact');
      expectStatus(answer, 422, 'Invalid');
      expect(answer.json().details).toMatchObject({
        causes: [{ reason: 'FieldValueForbidden', field: 'resourceVersionMatch' }],
      });
    });

    test('[26] a list says how new it is, and an empty one is a list', async () => {
      const { metadata, items } = bodyOf(await get(''));
      expect(metadata.resourceVersion).toMatch(/^[1-9]\d*$/);
      expect(items).toHaveLength(2);
      expect(bodyOf(await get('?labelSelector=no%3Dsuch'))).toMatchObject({
        items: [],
        metadata: { resourceVersion: expect.stringMatching(/^[1-9]\d*$/) as string },
      });
    });
  });

  test('[32] a name that nobody has', async () => {
    const answer = await get('/nope');
    expectStatus(answer, 404, 'NotFound');
    expect(answer.json()).toMatchObject({
      message: `clustergateways.${group} "nope" not found`,
      details: { name: 'nope', group, kind: 'clustergateways' },
    });
  });

  describe('watches', () => {
    const watches: WatchReader[] = [];
    const watch = async (query: string): Promise<WatchReader> => {
      const reader = await readWatch(world().hub, `${clusters}?watch=1${query}`);
      watches.push(reader);
      return reader;
    };
    const named = (type: string, name: string) => (event: WatchReader['events'][number]) =>
      event.type === type && event.object.metadata?.name === name;
    const version = async (): Promise<string> => bodyOf(await get('')).metadata.resourceVersion;

    beforeAll(() => () => watches.forEach((each) => each.end()));

    test('[27] a watch begins at once and tells what happens to Secrets', async () => {
      const { kube } = world();
      const reader = await watch(`&resourceVersion=${await version()}`);
      expect(reader.status).toBe(200);
      expect(reader.headMs).toBeLessThan(1000);
      const register = (credential: 'X509Certificate' | 'ServiceAccountToken') =>
        registerCluster(kube, 'watched', { cluster: kube.a, credential });
      const extra = await register('X509Certificate');
      await reader.sees('ADDED', named('ADDED', 'watched'), 1000);
      await register('ServiceAccountToken');
      await reader.sees('MODIFIED', named('MODIFIED', 'watched'), 1000);
      await extra.remove();
      await reader.sees('DELETED', named('DELETED', 'watched'), 1000);
      expect(reader.events).toHaveLength(3);
    });

    test('[28] a watch ends when its time is over, with how far it came', async () => {
      const started = performance.now();
      const reader = await watch('&allowWatchBookmarks=true&timeoutSeconds=5');
      const ended = (): Promise<true | undefined> => Promise.resolve(reader.state() !== 'open' || undefined);
      await until('the end', ended, { timeoutMs: 8000, intervalMs: 10 });
      const seconds = (performance.now() - started) / 1000;
      expect(seconds).toBeGreaterThan(4.8);
      expect(seconds).toBeLessThan(6);
      expect(reader.state()).toBe('ended');
      const last = reader.events.at(-1);
      expect(last).toMatchObject({ type: 'BOOKMARK', object: { kind: 'ClusterGateway' } });
      expect(last?.object.metadata?.resourceVersion).toMatch(/^[1-9]\d*$/);
    });

    test('[29] what is too old to be told has expired; a new list and its watch go on', async () => {
      const { kube } = world();
      const reader = await watch('&resourceVersion=1');
      if (reader.status === 200) {
        const { object } = await reader.sees('the end of it', ({ type }) => type === 'ERROR');
        expect(object).toMatchObject({ kind: 'Status', code: 410, reason: 'Expired' });
      } else {
        expect(reader.status).toBe(410);
      }
      const again = await watch(`&resourceVersion=${await version()}`);
      expect(again.status).toBe(200);
      const extra = await registerCluster(kube, 'later', {
        ...{ cluster: kube.a, credential: 'X509Certificate' },
      });
      await again.sees('what comes now', named('ADDED', 'later'));
      await extra.remove();
    });

    test('[30] the state as it is comes first, and its end is marked', async () => {
      const { kube } = world();
      const reader = await watch(
        '&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true',
      );
      const end = await reader.sees('the bookmark', ({ type }) => type === 'BOOKMARK');
      expect(end.object.metadata?.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
      expect(reader.events.map(({ type, object }) => `${type} ${object.metadata?.name ?? ''}`)).toEqual([
        ...['ADDED bar', 'ADDED foo', 'BOOKMARK '],
      ]);
      const extra = await registerCluster(kube, 'afterwards', {
        ...{ cluster: kube.a, credential: 'X509Certificate' },
      });
      await reader.sees('what comes after it', named('ADDED', 'afterwards'));
      await extra.remove();
      // Without the match Kubernetes refuses it.
      const refused = await get('?watch=1&sendInitialEvents=true');
      expectStatus(refused, 422, 'Invalid');
    });
  });
});
