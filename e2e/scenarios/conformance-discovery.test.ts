import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

import type { GatewayProcess } from '../worlds/kube.ts';
import { writeKubeconfig } from '../worlds/kubeconfig.ts';
import { freePorts } from '../worlds/ports.ts';
import { until } from '../worlds/wait.ts';
import { type Client, type ClientIdentity, createClient } from './registration-client.ts';
import { describeGateway } from './registration-world.ts';

const group = 'cluster.core.oam.dev';
const path = `/apis/${group}/v1alpha1`;
const aggregated = (version: string): string =>
  `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;

await describeGateway('discovery, documents and probes, at the hub and directly', (world) => {
  const clients: Client[] = [];
  afterAll(() => clients.forEach((client) => client.close()));

  /** A caller directly at a gateway, or at the hub. */
  function caller(
    door: { readonly url: string; readonly caPem: string },
    identity: Omit<ClientIdentity, 'url' | 'caPem'> = {},
  ): Client {
    const { url, caPem } = door;
    const client = createClient({ url, caPem, ...identity });
    clients.push(client);
    return client;
  }

  const accepting = (accept: string): { headers: string[] } => ({ headers: ['Accept', accept] });

  /** Who the hub says that the caller is, in front of a gateway. */
  async function frontProxy(gateway: GatewayProcess): Promise<Client> {
    const read = (end: string) =>
      readFile(join(world().kube.directory, `hub/front-proxy-client.${end}`), 'utf8');
    const [certificatePem, keyPem] = await Promise.all([read('crt'), read('key')]);
    return caller(gateway, { certificatePem, keyPem });
  }

  const resourceNames = (text: string): readonly string[] => {
    const { kind, resources } = JSON.parse(text) as { kind: string; resources: { name: string }[] };
    expect(kind).toBe('APIResourceList');
    return resources.map(({ name }) => name);
  };

  test('[3] the probe of the hub is answered while no access can be reviewed; others are refused', async () => {
    const { kube } = world();
    const [deadPort = 0] = await freePorts(1);
    const kubeconfig = await writeKubeconfig(join(kube.directory, 'dead.kubeconfig'), {
      server: `https://127.0.0.1:${deadPort}`,
      caPem: kube.hub.caPem,
      user: { certificatePem: kube.hub.adminCertificatePem, keyPem: kube.hub.adminKeyPem },
      name: 'dead',
    });
    const flags = [`--authorization-kubeconfig=${kubeconfig}`];
    const gateway = await kube.startGateway({ registered: false, flags });
    try {
      const hub = await frontProxy(gateway);
      const probe = ['X-Remote-User', 'system:kube-aggregator', 'X-Remote-Group', 'system:masters'];
      // The first connects.
      await hub.call(path, { headers: probe });
      for (let i = 0; i < 5; i += 1) {
        const answer = await hub.call(path, { headers: probe });
        expect(answer.status).toBe(200);
        expect(answer.ms).toBeLessThan(100);
      }
      const groups = ['X-Remote-Group', 'system:authenticated'];
      const other = await hub.call(path, { headers: ['X-Remote-User', 'jane', ...groups] });
      expect(other.status).toBe(500);
      expect(other.json()).toMatchObject({ kind: 'Status', reason: 'InternalError' });
      expect(other.text).not.toContain('127.0.0.1');
    } finally {
      await gateway.stop();
    }
  });

  test('[4] a plain user sees what there is', async () => {
    const { kube, gateway } = world();
    const jane = await kube.hub.user('jane');
    for (const door of [kube.hub, gateway]) {
      const answer = await caller(door, jane).call(path);
      expect(answer.status).toBe(200);
      expect(resourceNames(answer.text)).toEqual(
        expect.arrayContaining(['clustergateways', 'clustergateways/proxy', 'virtualclusters']),
      );
    }
  });

  test('[5] somebody whom nobody knows is refused, by the hub and by the gateway itself', async () => {
    const { kube, gateway } = world();
    for (const door of [kube.hub, gateway]) {
      const answer = await caller(door).call(path);
      expect(answer.status).toBe(403);
      expect(answer.json()).toMatchObject({
        kind: 'Status',
        reason: 'Forbidden',
        message: expect.stringContaining('User "system:anonymous" cannot get path') as string,
      });
    }
  });

  test('[7] /apis as an aggregated document of v2beta1', async () => {
    const answer = await world().direct.call('/apis', accepting(aggregated('v2beta1')));
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toMatch(/v=v2beta1;as=APIGroupDiscoveryList/);
    expect(JSON.parse(answer.text)).toMatchObject({
      kind: 'APIGroupDiscoveryList',
      apiVersion: 'apidiscovery.k8s.io/v2beta1',
    });
  });

  test('[8] /apis as an aggregated document of v2 is not sent twice', async () => {
    const { direct } = world();
    const first = await direct.call('/apis', accepting(aggregated('v2')));
    expect(first.headers['content-type']).toMatch(/v=v2;as=APIGroupDiscoveryList/);
    const etag = first.headers.etag ?? '';
    expect(etag).toMatch(/^"[^"]+"$/);
    const headers = ['Accept', aggregated('v2'), 'If-None-Match', etag];
    const second = await direct.call('/apis', { headers });
    expect({ status: second.status, text: second.text }).toEqual({ status: 304, text: '' });
    const other = ['Accept', aggregated('v2'), 'If-None-Match', '"other"'];
    expect((await direct.call('/apis', { headers: other })).status).toBe(200);
  });

  test('[9] /apis for anybody else is the plain list of groups', async () => {
    const answer = await world().direct.call('/apis', accepting('*/*'));
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toMatch(/^application\/json(?:;|$)(?!.*as=)/);
    expect(JSON.parse(answer.text)).toMatchObject({ kind: 'APIGroupList', groups: [{ name: group }] });
  });

  test('[15] /openapi/v2 is no page for browsers', async () => {
    const { direct } = world();
    expect((await direct.call('/openapi/v2', accepting('text/html'))).status).toBe(406);
    expect((await direct.call('/openapi/v2', accepting('application/json'))).status).toBe(200);
  });

  test('[69] probes answer anybody, metrics those who may', async () => {
    const { kube, gateway, direct } = world();
    const anonymous = caller(gateway);
    const statusOf = async (asked: string): Promise<number> => (await anonymous.call(asked)).status;
    const verbose = await anonymous.call('/readyz?verbose');
    expect(verbose.status).toBe(200);
    expect(verbose.text).toMatch(/^\[\+\]ping ok\n(?:\[\+\][\w-]+ ok\n)+readyz check passed\n$/);
    for (const asked of ['/livez?exclude=x', '/livez', '/healthz', '/readyz'])
      expect({ asked, status: await statusOf(asked) }).toEqual({ asked, status: 200 });
    expect((await anonymous.call('/livez?exclude=x&verbose')).text).toContain('cannot be excluded');
    for (const asked of ['/metrics', '/readyz/ping', '/livez/ping', '/version'])
      expect({ asked, status: await statusOf(asked) }).toEqual({
        asked,
        // The hub's own role system:public-info-viewer.
        status: asked === '/version' ? 200 : 403,
      });
    const monitoring = caller(gateway, await kube.hub.user('prometheus', ['system:monitoring']));
    const metrics = await monitoring.call('/metrics');
    expect(metrics.status).toBe(200);
    expect(metrics.text).toContain('# TYPE apiserver_request_duration_seconds histogram');
    expect(await monitoring.call('/readyz/ping')).toMatchObject({ status: 200, text: 'ok' });
    expect((await direct.call('/livez/nothing')).status).toBe(404);
  });

  /** The last: it stops the hub. */
  test('[14] documents are not missing while a gateway starts, they are unavailable', async () => {
    const { kube } = world();
    const gateway = await kube.startGateway({ registered: false });
    const starting = caller(gateway);
    const documents = ['/openapi/v3', '/openapi/v2', '/apis', path, `/openapi/v3${path}`];
    let restarted: Promise<void> | undefined;
    try {
      // Before its hub: one that still stops would answer, too.
      await gateway.stop();
      await kube.hub.stop();
      restarted = gateway.restart();
      // Whoever waits for it hears of its failure.
      restarted.catch(() => {});
      const answers = await until(
        'the gateway to listen',
        () => Promise.all(documents.map((each) => starting.call(each))),
        { timeoutMs: 20_000 },
      );
      for (const { status, text } of answers) {
        expect(status).toBe(503);
        expect(JSON.parse(text)).toMatchObject({ kind: 'Status', reason: 'ServiceUnavailable' });
      }
      expect((await starting.call('/livez')).status).toBe(200);
      expect((await starting.call('/readyz')).status).toBe(500);
    } finally {
      await kube.hub.start();
      await restarted;
    }
    // Not that the hub's return would make them forbidden: this caller has no right to them.
    const admin = { certificatePem: kube.hub.adminCertificatePem, keyPem: kube.hub.adminKeyPem };
    const ready = caller(gateway, admin);
    for (const each of documents) expect((await ready.call(each)).status).toBe(200);
    await gateway.stop();
  });
});
