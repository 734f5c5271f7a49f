import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

import { applySecret, registerCluster } from '../worlds/register.ts';
import { until } from '../worlds/wait.ts';
import { auditEnd, type AuditEvent, auditSince } from './audit-log.ts';
import { type RecordingTarget, startTarget } from './identity-target.ts';
import { type Client, createClient } from './registration-client.ts';
import { describeGateway, proxyPath } from './registration-world.ts';
import { type Attributes, methods, refused, targets } from './request-attributes.ts';

const group = 'cluster.core.oam.dev';
const prefix = `/apis/${group}/v1alpha1`;
const rbac = '/apis/rbac.authorization.k8s.io/v1';

/** What the hub is asked of a caller. */
interface AccessReviewSpec {
  readonly user: string;
  readonly resourceAttributes?: Readonly<Record<string, string>>;
  readonly nonResourceAttributes?: { readonly verb?: string; readonly path?: string };
}

await describeGateway('what callers may do, at the hub and at the gateway', (world) => {
  let target: RecordingTarget;
  const clients: Client[] = [];
  beforeAll(async () => {
    const { kube } = world();
    target = await startTarget();
    await registerCluster(kube, 'foo', { cluster: kube.a, credential: 'X509Certificate' });
    await registerCluster(kube, 'bar', { cluster: kube.b, credential: 'X509Certificate' });
    await applySecret(kube, {
      name: 'target',
      labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
      data: { endpoint: target.url, 'ca.crt': target.caPem, token: 'token-of-the-gateway' },
    });
    const answers = async (): Promise<true | undefined> =>
      (await world().direct.call(proxyPath('target', '/'))).status === 200 || undefined;
    await until('the target', answers, { timeoutMs: 5000 });
  });
  afterAll(async () => {
    for (const client of clients) client.close();
    await target.close();
  });
  beforeEach(() => {
    target.requests.length = 0;
  });

  /** Lets a user, or a group, do what the rules say. */
  async function grant(name: string, kind: 'User' | 'Group', rules: readonly object[]): Promise<void> {
    const { api } = world().kube.hub;
    await api.expect(`${rbac}/clusterroles`, { method: 'POST', body: { metadata: { name }, rules } });
    await api.expect(`${rbac}/clusterrolebindings`, {
      method: 'POST',
      body: {
        metadata: { name },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind, name }],
      },
    });
  }

  const onProxy = (verbs: readonly string[], more = {}) => [
    { apiGroups: [group], resources: ['clustergateways/proxy'], verbs, ...more },
  ];

  /** The same user at both doors. */
  async function bothDoors(name: string): Promise<readonly { door: string; client: Client }[]> {
    const { kube, gateway } = world();
    const user = await kube.hub.user(name);
    return [kube.hub, gateway].map(({ url, caPem }) => {
      const client = createClient({ url, caPem, ...user });
      clients.push(client);
      return { door: url === gateway.url ? 'direct' : 'hub', client };
    });
  }

  test('[35] the right to one cluster is checked by the hub, and by the gateway itself', async () => {
    const { kube } = world();
    await grant('jane', 'User', onProxy(['get'], { resourceNames: ['foo'] }));
    const since = { hub: await auditEnd(kube.hub.auditLog), b: await auditEnd(kube.b.auditLog) };
    for (const { door, client } of await bothDoors('jane')) {
      const headers = ['User-Agent', 'jane-35'];
      const nodes = await client.call(proxyPath('foo', '/api/v1/nodes'), { headers });
      expect({ door, status: nodes.status }).toEqual({ door, status: 200 });
      expect(nodes.json()).toMatchObject({ kind: 'NodeList' });
      const refused = await client.call(proxyPath('bar', '/api/v1/nodes'), { headers });
      expect({ door, status: refused.status }).toEqual({ door, status: 403 });
      expect(refused.json()).toMatchObject({
        kind: 'Status',
        reason: 'Forbidden',
        message: expect.stringContaining('"bar" is forbidden: User "jane" cannot get') as string,
      });
    }
    // The hub refused its own caller without us; of the direct one the gateway asked.
    const asked = reviews(await auditSince(kube.hub.auditLog, since.hub)).filter(
      ({ user, resourceAttributes }) => user === 'jane' && resourceAttributes?.['name'] === 'bar',
    );
    expect(asked).toHaveLength(1);
    const reached = await auditSince(kube.b.auditLog, since.b);
    expect(reached.filter(({ userAgent }) => userAgent === 'jane-35')).toEqual([]);
  });

  test('[36] each method needs its verb on the proxy; what has none needs all', async () => {
    const verbs = {
      GET: 'get',
      HEAD: 'get',
      POST: 'create',
      PUT: 'update',
      PATCH: 'patch',
      DELETE: 'delete',
    };
    const known = [...new Set(Object.values(verbs))];
    const callers = [...known.map((verb) => [verb]), known, ['*'], ['list', 'watch']];
    for (const [i, allowed] of callers.entries()) {
      const name = `caller-${i}`;
      await grant(name, 'User', onProxy(allowed));
      for (const { door, client } of await bothDoors(name)) {
        const found: Record<string, number> = {};
        for (const method of [...Object.keys(verbs), 'OPTIONS'])
          found[method] = (await client.call(proxyPath('target', '/x?watch=true'), { method })).status;
        const isAllowed = (verb: string): boolean => allowed.includes('*') || allowed.includes(verb);
        const wanted = Object.entries({ ...verbs, OPTIONS: '' }).map(
          ([method, verb]) => [method, isAllowed(verb) ? 200 : 403] as const,
        );
        expect({ door, allowed, found }).toEqual({ door, allowed, found: Object.fromEntries(wanted) });
        const reached = target.requests.splice(0).map(({ method }) => method);
        expect(reached).toEqual(wanted.filter(([, status]) => status === 200).map(([method]) => method));
      }
    }
  });

  test('the gateway asks about exactly what the hub has authorized', async () => {
    const { kube, hub } = world();
    await grant('probes', 'Group', [
      { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
      { nonResourceURLs: ['*'], verbs: ['*'] },
    ]);
    const since = await auditEnd(kube.hub.auditLog);
    const requests = methods.flatMap((method) =>
      [...targets, ...refused].map((path) => ({ method, path: prefix + path })),
    );
    const statuses: number[] = [];
    const send = async (i: number): Promise<void> => {
      const { method = '', path = '' } = requests[i] ?? {};
      // A user for each request: so a review belongs to its request, and none is answered from a cache.
      const headers = ['Impersonate-User', `probe-${i}`, 'Impersonate-Group', 'probes'];
      const answer = await hub.open(path, { method, headers });
      statuses[i] = answer.statusCode ?? 0;
      answer.on('error', () => {}).destroy();
    };
    for (let i = 0; i < requests.length; i += 20)
      await Promise.all(requests.slice(i, i + 20).map((_, j) => send(i + j)));
    const isWritten = async (): Promise<readonly AuditEvent[] | undefined> => {
      const events = await auditSince(kube.hub.auditLog, since);
      const seen = new Set(events.map(({ impersonatedUser }) => impersonatedUser?.username));
      return requests.every((_, i) => seen.has(`probe-${i}`)) ? events : undefined;
    };
    const events = await until('the audit log', isWritten, { timeoutMs: 10_000, intervalMs: 500 });
    const authorized = new Map(
      events.flatMap((event) =>
        event.impersonatedUser === undefined
          ? []
          : [[event.impersonatedUser.username, ofHub(event)] as const],
      ),
    );
    const asked = new Map(reviews(events).map((spec) => [spec.user, ofReview(spec)] as const));
    for (const [i, { method, path }] of requests.entries()) {
      const user = `probe-${i}`;
      const isRefused = refused.includes(path.slice(prefix.length));
      const is = isRefused ? statuses[i] : asked.get(user);
      const wanted = isRefused ? 400 : authorized.get(user);
      expect({ method, path, is }).toEqual({ method, path, is: wanted });
      expect(asked.has(user)).toBe(!isRefused);
    }
  });
});

/** What the gateway asked. */
function reviews(events: readonly AuditEvent[]): readonly AccessReviewSpec[] {
  return events
    .filter(({ objectRef }) => objectRef?.resource === 'subjectaccessreviews')
    .map(({ requestObject }) => (requestObject as { spec: AccessReviewSpec }).spec);
}

/** What the hub's authorizer was asked. */
function ofHub({ verb, objectRef, requestURI }: AuditEvent): Attributes {
  if (objectRef === undefined) return { verb, path: decodeURIComponent(requestURI.replace(/\?.*/, '')) };
  const {
    apiGroup = '',
    apiVersion = '',
    resource = '',
    subresource = '',
    namespace = '',
    name = '',
  } = objectRef;
  return { verb, group: apiGroup, version: apiVersion, resource, subresource, namespace, name };
}

function ofReview({ resourceAttributes, nonResourceAttributes }: AccessReviewSpec): Attributes {
  if (resourceAttributes === undefined)
    return { verb: nonResourceAttributes?.verb ?? '', path: nonResourceAttributes?.path ?? '' };
  const { verb = '', group: apiGroup = '', version = '', resource = '' } = resourceAttributes;
  const { subresource = '', namespace = '', name = '' } = resourceAttributes;
  return { verb, group: apiGroup, version, resource, subresource, namespace, name };
}
