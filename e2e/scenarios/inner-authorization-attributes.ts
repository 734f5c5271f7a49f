import { expect, test } from 'vitest';

import { until } from '../worlds/wait.ts';
import { auditEnd, type AuditEvent, auditSince } from './audit-log.ts';
import { grant } from './inner-authorization-rights.ts';
import { type GatewayWorld, proxyPath } from './registration-world.ts';
import type { Attributes } from './request-attributes.ts';

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'];
const pod = '/api/v1/namespaces/zz/pods/p';
const named = 'fieldSelector=metadata.name%3Dfoo';

/** Nothing in them exists at the cluster, so that all methods may be tried. */
const targets: readonly string[] = [
  ...['/', '/api', '/api/', '/api/v1', '/api/v1/', '/apis', '/apis/apps', '/apis/apps/v1', '/apis/apps/v1/'],
  ...['/version', '/version/', '/openapi/v3', '/API/v1/pods', '/Apis/apps/v1/deployments', '/nothing/at/all'],
  ...['/api/v1/pods', '/api/v1/pods/', '/api/v1/PODS', '/api/v1/pods;x', '/api/v1/p%6fds', '/api/v2/pods'],
  ...['/api/v1/namespaces/zz/pods', pod, `${pod}/`, `${pod}/status`, `${pod}/log?follow=true`, `${pod}/Log`],
  ...[
    `${pod}/exec?command=sh`,
    `${pod}/attach`,
    `${pod}/portforward`,
    `${pod}/eviction`,
    `${pod}/proxy/a%2Fb`,
  ],
  ...['/api/v1/namespaces/zz/services/s:80/proxy/a%252Fb', '/api/v1/nodes/none/proxy/run/x', `${pod}/a/b/c`],
  ...['/api/v1/namespaces/zz', '/api/v1/namespaces/zz/', '/api/v1/namespaces/zz/status'],
  ...['/api/v1/namespaces/zz/finalize', '/api/v1/namespaces/zz/status/x', '/api/v1/namespaces/zz/Status'],
  ...['/api/v1/namespaces/status', '/api/v1/namespaces/status/pods', '/api/v1/namespaces/finalize/finalize'],
  ...['/apis/apps/v1/namespaces/zz/deployments/d/scale', '/apis/no.such.group/v1/namespaces/zz/things/t/x'],
  ...['/api/v1/watch/pods', '/api/v1/watch/namespaces/zz/pods', '/api/v1/watch/namespaces/zz/pods/p'],
  ...['/apis/apps/v1/watch/deployments?watch=false', '/api/v1/watch/watch/pods', '/api/v1/Watch/pods'],
  ...['/api/v1/proxy/namespaces/zz/pods/p', '/api/v1/proxy/namespaces/zz/pods/p/x', '/api/v1/proxy/nodes/n'],
  ...['/api/v1/redirect/nodes/n', '/api/v1/configmaps?watch=true', '/api/v1/configmaps?watch=1'],
  ...[
    '/api/v1/secrets?watch=0',
    '/api/v1/secrets?watch=False',
    '/api/v1/secrets?watch',
    '/api/v1/secrets?watch=',
  ],
  ...[
    '/api/v1/secrets?watch=no',
    '/api/v1/secrets?WATCH=1',
    '/api/v1/secrets?%77atch=1',
    '/api/v1/secrets?+watch=1',
  ],
  ...['/api/v1/secrets?watch=1&watch=1', '/api/v1/secrets?watch=1&limit=x', `/api/v1/secrets?${named}`],
  ...[`/api/v1/secrets?${named}&watch=1`, `/api/v1/secrets?${named}&limit=x`, `${pod}?watch=1`],
  ...[`/api/v1/secrets?${named}&${named}`, '/api/v1/secrets?fieldSelector=metadata.name!%3Dfoo'],
  ...['/api/v1/secrets?fieldSelector=metadata.name%3Da/b', '/api/v1/secrets?fieldSelector=spec.x%3D1'],
  ...['/api/v1/namespaces/zz/configmaps/a%20b', '/api/v1/namespaces/zz/configmaps/%E7%94%A8'],
  ...[
    '/apis/rbac.authorization.k8s.io/v1/clusterroles/no%3Anode',
    '/api/v1/nodes/a%3Fb',
    '/api/v1/nodes/a:b@c',
  ],
];

/** A GET of them is what the gateway cannot be sure of. */
const refused: readonly string[] = [
  ...['/openapi/../api/v1/secrets', '/openapi/%2e%2e/api/v1/secrets', '/openapi/%2E./api/v1/secrets'],
  ...['/openapi/..%2Fapi/v1/secrets', '/openapi%2F..%2Fapi/v1/secrets', '/openapi/..', '/./api/v1/secrets'],
  ...['/openapi//api/v1/secrets', '/api/v1/namespaces/zz%2Fsecrets', '/api/v1/namespaces/%2Fsecrets'],
  ...[
    '/openapi/..%5Capi/v1/secrets',
    '/api/v1/namespaces/zz/secrets/a%252Fb',
    '/api/v1/watch',
    '/api/v1/secrets%00',
  ],
  ...[
    '/api/v1/secrets?a=1;b=2',
    '/api/v1/secrets?watch=1;x',
    '/api/v1/secrets?a=%zz',
    '/api/v1/secrets?watch=%1',
  ],
  ...['/api/v1/secrets?watch=0&watch=1', `/api/v1/secrets?${named}&fieldSelector=metadata.name%3Dbar`],
  `/api/v1/secrets?${'a=1&'.repeat(10_000)}watch=1`,
];

interface AccessReviewSpec {
  readonly user: string;
  readonly resourceAttributes?: Readonly<Record<string, string>>;
  readonly nonResourceAttributes?: { readonly verb?: string; readonly path?: string };
}

/** What is asked of the hub is what the cluster's own authorizer is asked, for the same bytes. */
export function describeAttributes(world: () => GatewayWorld): void {
  test('what is asked about the path inside is what the cluster writes in its audit log', async () => {
    const { kube, direct } = world();
    await grant(world(), { name: 'probes', kind: 'Group' }, [
      { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
      { nonResourceURLs: ['*'], verbs: ['*'] },
    ]);
    const since = { hub: await auditEnd(kube.hub.auditLog), a: await auditEnd(kube.a.auditLog) };
    const requests = methods
      .flatMap((method) => targets.map((path) => ({ method, path })))
      .concat(refused.map((path) => ({ method: 'GET', path })));
    const statuses: number[] = [];
    const send = async (i: number): Promise<void> => {
      const { method = '', path = '' } = requests[i] ?? {};
      // A user for each request: so a review belongs to its request, and none is answered from a cache.
      const headers = [
        'Impersonate-User',
        `inner-${i}`,
        'Impersonate-Group',
        'probes',
        'Audit-Id',
        `inner-${i}`,
      ];
      const answer = await direct.open(proxyPath('foo', path), { method, headers });
      statuses[i] = answer.statusCode ?? 0;
      answer.on('error', () => {}).destroy();
    };
    for (let i = 0; i < requests.length; i += 20)
      await Promise.all(requests.slice(i, i + 20).map((_, j) => send(i + j)));
    const sent = requests.filter(({ path }) => !refused.includes(path)).length;
    const isWritten = async (): Promise<ReadonlyMap<string, Attributes> | undefined> => {
      const events = await auditSince(kube.a.auditLog, since.a);
      const seen = new Map(events.map((event) => [event.auditID, ofCluster(event)]));
      return requests.slice(0, sent).every((_, i) => seen.has(`inner-${i}`)) ? seen : undefined;
    };
    const done = await until("the cluster's audit log", isWritten, { timeoutMs: 20_000, intervalMs: 500 });
    const asked = reviewsInside(await auditSince(kube.hub.auditLog, since.hub));
    for (const [i, { method, path }] of requests.entries()) {
      const user = `inner-${i}`;
      const label = { method, path: path.slice(0, 100) };
      if (i >= sent) {
        const found = { status: statuses[i], asked: asked.get(user), reached: done.has(user) };
        expect({ ...label, ...found }).toEqual({ ...label, status: 400, asked: undefined, reached: false });
        continue;
      }
      const wanted = done.get(user);
      const [first, ...more] = asked.get(user) ?? [];
      expect({ ...label, is: first }).toEqual({ ...label, is: wanted });
      const alsoCreate = /\/pods\/p\/(?:exec|attach|portforward)/.test(path) && wanted?.verb !== 'create';
      expect({ ...label, more }).toEqual({
        ...label,
        more: alsoCreate ? [{ ...wanted, verb: 'create' }] : [],
      });
    }
  });
}

/** What the gateway asked of each user beside the right to the proxy. */
function reviewsInside(events: readonly AuditEvent[]): ReadonlyMap<string, readonly Attributes[]> {
  const asked = new Map<string, Attributes[]>();
  for (const { objectRef, requestObject } of events) {
    if (objectRef?.resource !== 'subjectaccessreviews') continue;
    const { spec } = requestObject as { spec: AccessReviewSpec };
    if (spec.resourceAttributes?.['resource'] === 'clustergateways') continue;
    asked.set(spec.user, [...(asked.get(spec.user) ?? []), ofReview(spec)]);
  }
  return asked;
}

function ofReview({ resourceAttributes, nonResourceAttributes }: AccessReviewSpec): Attributes {
  if (resourceAttributes === undefined)
    return { verb: nonResourceAttributes?.verb ?? '', path: nonResourceAttributes?.path ?? '' };
  const { verb = '', group = '', version = '', resource = '' } = resourceAttributes;
  const { subresource = '', namespace = '', name = '' } = resourceAttributes;
  return { verb, group, version, resource, subresource, namespace, name };
}

function ofCluster({ verb, objectRef, requestURI }: AuditEvent): Attributes {
  if (objectRef === undefined) return { verb, path: decodeURIComponent(requestURI.replace(/\?.*/, '')) };
  const { apiGroup: group = '', apiVersion: version = '', resource = '' } = objectRef;
  const { subresource = '', namespace = '', name = '' } = objectRef;
  return { verb, group, version, resource, subresource, namespace, name };
}
