import { readFile } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';

import { until } from '../worlds/wait.ts';
import { auditEnd, auditSince } from './audit-log.ts';
import { describeScenarios, proxyUrl } from './world.ts';

const group = 'cluster.core.oam.dev';
const path = `/apis/${group}/v1alpha1`;
const rbac = '/apis/rbac.authorization.k8s.io/v1';

await describeScenarios('who may use clustergateways, and when', (world) => {
  beforeAll(async () => {
    await world().register('alpha', { cluster: 'a', credential: 'X509Certificate' });
    await world().register('beta', { cluster: 'b', credential: 'X509Certificate' });
  });

  const throughAlpha = () => ({ server: proxyUrl(world(), 'alpha') });

  /** A user of the hub with a cluster role: gives what it says on a command. */
  async function userWith(name: string, role?: string) {
    const user = await world().hub.user(name, ['people']);
    if (role !== undefined) await bind(name, role);
    return (command: string, more = {}) =>
      world().kubectl(command.split(' '), { kubeconfig: user.kubeconfig, ...more });
  }

  async function bind(user: string, role: string): Promise<void> {
    await world().hub.api.expect(`${rbac}/clusterrolebindings`, {
      method: 'POST',
      body: {
        metadata: { name: user },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
      },
    });
  }

  function forbidden(user: string, verb: string, resource: string, name?: string): string {
    const object = name === undefined ? '' : ` "${name}"`;
    return `Error from server (Forbidden): clustergateways.${group}${object} is forbidden: User "${user}" cannot ${verb} resource "${resource}" in API group "${group}" at the cluster scope\n`;
  }

  test('a user without rights is refused in the words of Kubernetes', async () => {
    const stranger = await userWith('stranger');
    const since = await auditEnd(world().a.auditLog);
    expect(await stranger('get clustergateways')).toEqual({
      code: 1,
      stdout: '',
      stderr: forbidden('stranger', 'list', 'clustergateways'),
    });
    expect((await stranger('get clustergateway alpha')).stderr).toBe(
      forbidden('stranger', 'get', 'clustergateways', 'alpha'),
    );
    expect((await stranger('get --raw /api/v1/namespaces', throughAlpha())).stderr).toBe(
      forbidden('stranger', 'get', 'clustergateways/proxy', 'alpha'),
    );
    expect(await auditSince(world().a.auditLog, since)).toEqual([]);
    // Discovery and documentation are for everybody who is somebody.
    const explained = async (): Promise<true | undefined> =>
      (await stranger('explain clustergateway.spec')).code === 0 || undefined;
    await until('explain', explained, { timeoutMs: 15_000, intervalMs: 300 });
  });

  test('the role view lets get, list and watch clustergateways, and nothing at a cluster', async () => {
    await world().startControllers('hub');
    const viewer = await userWith('viewer', 'view');
    const aggregated = async (): Promise<true | undefined> =>
      (await viewer('get clustergateways')).code === 0 || undefined;
    await until('the role to be aggregated', aggregated, { timeoutMs: 10_000, intervalMs: 200 });
    expect((await viewer('get clustergateway alpha -o name')).stdout).toBe(`clustergateway.${group}/alpha\n`);
    const watched = await viewer(`get --raw ${path}/clustergateways?watch=true&timeoutSeconds=1`);
    expect(watched).toMatchObject({ code: 0, stdout: expect.stringContaining('"ADDED"') as string });
    expect((await viewer('auth can-i delete clustergateways')).stdout).toContain('no');
    for (const command of ['get --raw /api/v1/namespaces', 'exec pod -- true', 'version']) {
      const { code, stderr } = await viewer(command, throughAlpha());
      expect({ command, code }).toEqual({ command, code: 1 });
      expect(stderr).toMatch(/\(Forbidden\)|is forbidden/);
    }
    expect((await viewer('get --raw /version', throughAlpha())).stderr).toBe(
      forbidden('viewer', 'get', 'clustergateways/proxy', 'alpha'),
    );
  });

  test('the right to one cluster and one verb is the right to that alone', async () => {
    await world().hub.api.expect(`${rbac}/clusterroles`, {
      method: 'POST',
      body: {
        metadata: { name: 'alpha-reader' },
        rules: [
          {
            apiGroups: [group],
            resources: ['clustergateways/proxy'],
            resourceNames: ['alpha'],
            verbs: ['get'],
          },
        ],
      },
    });
    const reader = await userWith('reader', 'alpha-reader');
    expect(await reader('get namespace default -o name', throughAlpha())).toMatchObject({
      code: 0,
      stdout: 'namespace/default\n',
    });
    expect((await reader('create namespace new', throughAlpha())).stderr).toContain(
      'User "reader" cannot create resource "clustergateways/proxy"',
    );
    expect((await reader('delete namespace default', throughAlpha())).stderr).toContain(
      'User "reader" cannot delete resource "clustergateways/proxy"',
    );
    expect((await reader('get --raw /version', { server: proxyUrl(world(), 'beta') })).stderr).toBe(
      forbidden('reader', 'get', 'clustergateways/proxy', 'beta'),
    );
    expect((await reader('get clustergateways')).stderr).toBe(forbidden('reader', 'list', 'clustergateways'));
  });

  // Before the gateway is stopped: a hub that looks just then says so.
  test('[11] nothing in the logs tells of a failure', async () => {
    const hub = await readFile(world().hub.log, 'utf8');
    expect(hub.split('\n').filter((line) => line.includes('loading OpenAPI spec'))).toEqual([]);
    const gateway = await readFile(world().gateway.log, 'utf8');
    expect(gateway.split('\n').filter((line) => /"level":(50|60|"error")|^E\d/.test(line))).toEqual([]);
  });

  test('[2] the gateway stops and comes back: the APIService follows', async () => {
    const admin = (command: string) =>
      world().kubectl(command.split(' '), { kubeconfig: world().hub.kubeconfig });
    const name = `v1alpha1.${group}`;
    const condition = async (): Promise<string> => {
      const shown = await admin(
        `get apiservice ${name} -o jsonpath={.status.conditions[?(@.type=="Available")]['status','reason']}`,
      );
      return shown.stdout;
    };
    const becomes = (wanted: string) => async (): Promise<true | undefined> =>
      (await condition()) === wanted || undefined;
    expect(await condition()).toBe('True Passed');
    expect(await world().gateway.stop()).toBe(0);
    expect((await admin('get clustergateways')).code).toBe(1);
    // By itself the hub looks twice a minute; a change of the object makes it look now.
    await admin(`annotate apiservice ${name} looked=now`);
    const waiting = { timeoutMs: 20_000, intervalMs: 300 };
    await until('Available False', becomes('False FailedDiscoveryCheck'), waiting);
    expect((await world().hub.api.call(path)).status).toBe(503);
    const down = await admin(`get --raw ${path}/clustergateways/alpha/proxy/healthz`);
    expect(down).toMatchObject({ code: 1 });
    expect(down.stderr).toContain('unable to handle the request');
    expect((await admin('get namespaces -o name')).stdout).toContain('namespace/default');
    // Nobody touches the APIService: the hub finds out.
    await world().gateway.restart();
    await until('Available True', becomes('True Passed'), { ...waiting, timeoutMs: 35_000 });
    expect((await world().hub.api.call(path)).status).toBe(200);
    expect((await admin(`get --raw ${path}/clustergateways/alpha/proxy/healthz`)).stdout).toBe('ok');
    expect((await admin('get clustergateways -o name')).stdout.split('\n')).toHaveLength(3);
  });
});
