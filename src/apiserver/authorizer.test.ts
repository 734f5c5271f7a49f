import { describe, expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import type { AccessDecision, AccessRequest } from '../kube/access.ts';
import { requestInfo } from '../kube/request-info.ts';
import { createAuthorizer } from './authorizer.ts';

const proxyPath = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways/foo/proxy/api/v1/pods';
const jane = { name: 'jane', groups: ['dev', 'system:authenticated'] };
const allowed: AccessDecision = { allowed: true, reason: '' };
const denied: AccessDecision = { allowed: false, reason: '' };

function withHub(answer: AccessDecision | Error, alwaysAllowPaths: readonly string[] = []) {
  const asked: AccessRequest[] = [];
  const authorizer = createAuthorizer({
    alwaysAllowPaths,
    reviewer: {
      counts: { hits: 0, misses: 0, errors: 0 },
      review: (request) => {
        asked.push(request);
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
    },
  });
  const authorize = async (target: string, { user = jane, method = 'GET' } = {}) => {
    await authorizer.authorize(user, requestInfo(method, target), new AbortController().signal);
  };
  return { asked, authorize };
}

describe('who is let through without a review', () => {
  test('system:masters, even when the hub is away', async () => {
    const { asked, authorize } = withHub(new Failure('unreachable', 'dial tcp'));
    await authorize(proxyPath, { user: { name: 'admin', groups: ['system:masters'] }, method: 'DELETE' });
    expect(asked).toEqual([]);
  });

  test.each([
    ['/healthz', true],
    ['/healthz?verbose', true],
    ['/healthz/ping', false],
    ['/healthz/', false],
    ['/open/anything', true],
    ['/open/', true],
    ['/open', false],
    ['/', false],
    ['/metrics', false],
  ])('%s: %s', async (target, free) => {
    const { asked, authorize } = withHub(allowed, ['/healthz', '/open/*']);
    await authorize(target);
    expect(asked).toHaveLength(free ? 0 : 1);
  });

  test('a path that is a resource is never free', async () => {
    const { authorize } = withHub(denied, ['/apis/*', proxyPath]);
    await expect(authorize(proxyPath)).rejects.toMatchObject({ status: { code: 403 } });
  });
});

describe('what the hub is asked', () => {
  test.each([
    [
      'GET',
      proxyPath,
      {
        type: 'resource',
        resource: {
          verb: 'get',
          group: 'cluster.core.oam.dev',
          version: 'v1alpha1',
          resource: 'clustergateways',
          subresource: 'proxy',
          name: 'foo',
        },
      },
    ],
    [
      'POST',
      '/apis/g/v1/namespaces/n/things?dryRun=All',
      {
        type: 'resource',
        resource: { verb: 'create', group: 'g', version: 'v1', resource: 'things', namespace: 'n' },
      },
    ],
    [
      'GET',
      '/apis/cluster.core.oam.dev/v1alpha1/clustergateways?watch=1',
      {
        type: 'resource',
        resource: {
          verb: 'watch',
          group: 'cluster.core.oam.dev',
          version: 'v1alpha1',
          resource: 'clustergateways',
        },
      },
    ],
    [
      'GET',
      '/apis/g/v1/namespaces/n/things?labelSelector=a%3Db,c+in+(d,e),!f,g>1&fieldSelector=metadata.namespace!%3Dx',
      {
        type: 'resource',
        resource: {
          ...{ verb: 'list', group: 'g', version: 'v1', resource: 'things', namespace: 'n' },
          fieldSelector: { requirements: [{ key: 'metadata.namespace', operator: 'NotIn', values: ['x'] }] },
          labelSelector: {
            requirements: [
              { key: 'a', operator: 'In', values: ['b'] },
              { key: 'c', operator: 'In', values: ['d', 'e'] },
              { key: 'f', operator: 'DoesNotExist' },
            ],
          },
        },
      },
    ],
    // What cannot be read narrows nothing.
    [
      'GET',
      '/apis/g/v1/things?labelSelector=a%3D%3D%3D&fieldSelector=x',
      { type: 'resource', resource: { verb: 'list', group: 'g', version: 'v1', resource: 'things' } },
    ],
    ['GET', '/metrics?x=1', { type: 'non-resource', nonResource: { verb: 'get', path: '/metrics' } }],
    ['OPTIONS', '/a%62c', { type: 'non-resource', nonResource: { verb: 'options', path: '/abc' } }],
  ])('%s %s', async (method, target, attributes) => {
    const { asked, authorize } = withHub(allowed);
    await authorize(target, { method });
    expect(asked).toEqual([{ user: jane, attributes }]);
  });
});

describe('what a caller is told who may not', () => {
  const refusal = async (
    target: string,
    more: Parameters<ReturnType<typeof withHub>['authorize']>[1] = {},
    reason = '',
  ) => {
    const { authorize } = withHub({ allowed: false, reason });
    const error: unknown = await authorize(target, more).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    return (error as { status: object }).status;
  };

  test('a resource with a name', async () => {
    expect(await refusal(proxyPath)).toEqual({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message:
        'clustergateways.cluster.core.oam.dev "foo" is forbidden: User "jane" cannot get resource "clustergateways/proxy" in API group "cluster.core.oam.dev" at the cluster scope',
      reason: 'Forbidden',
      details: { name: 'foo', group: 'cluster.core.oam.dev', kind: 'clustergateways' },
      code: 403,
    });
  });

  test('a list of the core group, in a namespace, with a reason', async () => {
    expect(await refusal('/api/v1/namespaces/default/pods', {}, 'RBAC: role "x" not found')).toMatchObject({
      message:
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default": RBAC: role "x" not found',
      details: { kind: 'pods' },
    });
  });

  test('a path', async () => {
    expect(await refusal('/metrics', { method: 'POST' })).toMatchObject({
      message: 'forbidden: User "jane" cannot post path "/metrics"',
      reason: 'Forbidden',
      code: 403,
    });
  });

  test('signs that a browser would read as markup are escaped, once', async () => {
    const user = { name: '<jané用户 & "co">', groups: [] };
    expect(await refusal('/a%3Cb', { user })).toMatchObject({
      message: 'forbidden: User "&lt;jané用户 &amp; \\"co\\"&gt;" cannot get path "/a&lt;b"',
    });
  });
});

test.each([new Failure('timeout', 'secret text'), new TypeError('secret text')])(
  'a hub that cannot be asked lets nobody in (%o)',
  async (failure) => {
    const { authorize } = withHub(failure);
    await expect(authorize(proxyPath)).rejects.toMatchObject({
      status: { code: 500, reason: 'InternalError', message: 'Internal Server Error' },
      cause: failure,
    });
  },
);
