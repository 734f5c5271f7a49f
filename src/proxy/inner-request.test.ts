import { describe, expect, test } from 'vitest';
import { attributesOf } from '../apiserver/authorizer.ts';
import { StatusError } from '../kube/status.ts';
import { innerRequestInfo } from './inner-request.ts';

const split = (target: string) => {
  const mark = target.indexOf('?');
  return mark < 0 ? { path: target, query: '' } : { path: target.slice(0, mark), query: target.slice(mark) };
};
const infoOf = (method: string, target: string) => innerRequestInfo(method, split(target));

/** method, target, verb, group, namespace, resource, subresource, name; `-` is empty. */
const resources = String.raw`
  GET /api/v1/pods list - - pods - -
  GET /api/v1/pods/ list - - pods - -
  HEAD /api/v1/pods list - - pods - -
  OPTIONS /api/v1/pods - - - pods - -
  POST /api/v1/namespaces/n/pods create - n pods - -
  GET /api/v1/namespaces/n/pods list - n pods - -
  GET /api/v1/namespaces/n/pods/p get - n pods - p
  HEAD /api/v1/namespaces/n/pods/p get - n pods - p
  PUT /api/v1/namespaces/n/pods/p update - n pods - p
  PATCH /api/v1/namespaces/n/pods/p patch - n pods - p
  DELETE /api/v1/namespaces/n/pods/p delete - n pods - p
  DELETE /api/v1/namespaces/n/pods deletecollection - n pods - -
  get /api/v1/namespaces/n/pods/p - - n pods - p
  PROPFIND /api/v1/namespaces/n/pods/p - - n pods - p
  GET /api/v1/namespaces/n/pods/p/log get - n pods log p
  GET /api/v1/namespaces/n/pods/p/log?follow=true get - n pods log p
  GET /api/v1/namespaces/n/pods/p/exec?command=sh&stdin=true get - n pods exec p
  POST /api/v1/namespaces/n/pods/p/exec?command=sh create - n pods exec p
  POST /api/v1/namespaces/n/pods/p/eviction create - n pods eviction p
  POST /api/v1/namespaces/n/serviceaccounts/a/token create - n serviceaccounts token a
  GET /api/v1/namespaces/n/services/s:80/proxy/a/b get - n services proxy s:80
  GET /api/v1/namespaces/n/services/s:80/proxy/a%2Fb%25 get - n services proxy s:80
  GET /api/v1/nodes/x/proxy/run get - - nodes proxy x
  POST /api/v1/nodes/x/proxy/run/n/p/c create - - nodes proxy x
  GET /api/v1/namespaces list - - namespaces - -
  GET /api/v1/namespaces/n get - n namespaces - n
  GET /api/v1/namespaces/n/ get - n namespaces - n
  GET /api/v1/namespaces/n/status get - n namespaces status n
  PUT /api/v1/namespaces/n/finalize update - n namespaces finalize n
  GET /api/v1/namespaces/status get - status namespaces - status
  GET /api/v1/namespaces/status/pods list - status pods - -
  GET /api/v1/namespaces/status/status get - status namespaces status status
  GET /api/v1/namespaces/n/status/x get - n namespaces status n
  GET /api/v1/namespaces/n/Status list - n Status - -
  GET /api/v1/PODS list - - PODS - -
  GET /api/v1/pods;x list - - pods;x - -
  GET /api/v1/p%6fds list - - pods - -
  GET /api/v1/namespaces/n/configmaps/a%20b get - n configmaps - a|b
  GET /apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode get rbac.authorization.k8s.io - clusterroles - system:node
  GET /apis/rbac.authorization.k8s.io/v1/clusterroles/a%3Fb get rbac.authorization.k8s.io - clusterroles - a?b
  GET /apis/apps/v1/namespaces/n/deployments/d/scale get apps n deployments scale d
  PATCH /apis/apps/v1/namespaces/n/deployments/d/scale patch apps n deployments scale d
  GET /api/v1/pods?watch=true watch - - pods - -
  GET /api/v1/pods?watch=1 watch - - pods - -
  GET /api/v1/pods?watch= watch - - pods - -
  GET /api/v1/pods?watch watch - - pods - -
  GET /api/v1/pods?watch=no watch - - pods - -
  GET /api/v1/pods?watch=0 list - - pods - -
  GET /api/v1/pods?watch=False list - - pods - -
  GET /api/v1/pods?Watch=true list - - pods - -
  GET /api/v1/pods?%77atch=true watch - - pods - -
  GET /api/v1/pods?watch=1&watch=1 watch - - pods - -
  GET /api/v1/pods?limit=x&watch=1 watch - - pods - -
  HEAD /api/v1/pods?watch=1 watch - - pods - -
  POST /api/v1/namespaces/n/pods?watch=1 create - n pods - -
  GET /api/v1/namespaces/n/pods/p?watch=1 get - n pods - p
  GET /api/v1/watch/pods watch - - pods - -
  GET /api/v1/watch/namespaces/n/pods watch - n pods - -
  GET /api/v1/watch/namespaces/n/pods/p watch - n pods - p
  DELETE /api/v1/watch/namespaces/n/pods/p watch - n pods - p
  GET /apis/apps/v1/watch/deployments watch apps - deployments - -
  GET /api/v1/proxy/namespaces/n/pods/p/x proxy - n pods - p
  POST /api/v1/proxy/nodes/x proxy - - nodes - x
  GET /api/v1/pods?fieldSelector=metadata.name%3Dp list - - pods - p
  GET /api/v1/pods?fieldSelector=metadata.name%3Dp&watch=1 watch - - pods - p
  GET /api/v1/pods?fieldSelector=metadata.name%3Dp&limit=x list - - pods - -
  GET /api/v1/pods?fieldSelector=metadata.name!%3Dp list - - pods - -
  DELETE /api/v1/namespaces/n/pods?fieldSelector=metadata.name%3Dp deletecollection - n pods - -
  GET /apis/cluster.core.oam.dev/v1alpha1/clustergateways/c/proxy/api/v1/pods get cluster.core.oam.dev - clustergateways proxy c
`;

/** method, target, verb, path. */
const paths = String.raw`
  GET / get /
  GET /api get /api
  GET /api/v1 get /api/v1
  GET /api/v1/ get /api/v1/
  GET /apis/apps/v1 get /apis/apps/v1
  GET /version get /version
  HEAD /version head /version
  POST /version post /version
  OPTIONS /version options /version
  GET /healthz/ get /healthz/
  GET /metrics?x=1 get /metrics
  GET /openapi/v2 get /openapi/v2
  GET /openapi/v3/apis/apps/v1?hash=x get /openapi/v3/apis/apps/v1
  GET /API/v1/pods get /API/v1/pods
  GET /apiS/apps/v1/deployments get /apiS/apps/v1/deployments
  GET /%61pi get /api
  GET /livez/a%3Fb get /livez/a?b
  GET /logs/%7Ea get /logs/~a
`;

const rows = (text: string) => {
  const lines = text.trim().split('\n');
  return lines.map((line) => line.trim().split(' '));
};
const full = (text: string | undefined) => (text === '-' ? '' : (text ?? '').replace('|', ' '));

describe('what a request is about inside the cluster', () => {
  test.each(rows(resources))('%s %s', (method = '', target = '', ...wanted) => {
    const [verb, apiGroup, namespace, resource, subresource, name] = wanted.map(full);
    expect(infoOf(method, target)).toMatchObject({
      ...{ isResourceRequest: true, verb, apiGroup, namespace, resource, subresource, name },
    });
  });

  test.each(rows(paths))('%s %s', (method = '', target = '', verb, path) => {
    expect(infoOf(method, target)).toMatchObject({ isResourceRequest: false, verb, path });
  });

  test('selectors go into the review', () => {
    const info = infoOf('GET', '/api/v1/pods?labelSelector=a%3Db&fieldSelector=spec.nodeName%3Dn');
    expect(attributesOf(info)).toMatchObject({
      resource: {
        labelSelector: { requirements: [{ key: 'a', operator: 'In', values: ['b'] }] },
        fieldSelector: { requirements: [{ key: 'spec.nodeName', operator: 'In', values: ['n'] }] },
      },
    });
  });
});

const many = `?${'a=1&'.repeat(10_000)}watch=1`;

describe('what servers may read in two ways is refused', () => {
  test.each([
    ['a semicolon', '/api/v1/pods?a=1;b=2'],
    ['a semicolon behind watch', '/api/v1/pods?watch=1;x'],
    ['a bad escape', '/api/v1/pods?c=%zz'],
    ['a bad escape at the end', '/api/v1/pods?c=%2'],
    ['a bad escape in a path that is no resource', '/version?c=%zz'],
    ['10,001 parameters', `/api/v1/pods${many}`],
    ['watch twice', '/api/v1/pods?watch=0&watch=1'],
    ['watch twice, once encoded', '/api/v1/pods?watch=0&%77atch=1'],
    ['watch twice, once without a value', '/api/v1/pods?watch=0&watch'],
    ['two field selectors', '/api/v1/pods?fieldSelector=metadata.name%3Da&fieldSelector=metadata.name%3Db'],
    ['two label selectors', '/api/v1/pods?labelSelector=a&labelSelector=b'],
    ['a selector that is not UTF-8', '/api/v1/pods?fieldSelector=metadata.name%3D%ff'],
    ['an unencoded byte', '/api/v1/pods?labelSelector=\xe9'],
    ['a space', '/api/v1/pods?watch=0 &watch=1'],
    ['an encoded slash in a namespace', '/api/v1/namespaces/n%2Fpods/p'],
    ['an encoded slash in a name', '/api/v1/namespaces/n/pods/a%2fb'],
    ['an encoded slash before the subresource', '/api/v1/namespaces/n/pods/p%2Flog'],
    ['an encoded slash that makes an empty segment', '/api/v1/namespaces/%2Fpods'],
    ['an encoded slash at the start', '/%2Fapi/v1/pods'],
    ['an encoded slash in the subresource', '/api/v1/namespaces/n/services/s/proxy%2Fx'],
    ['an encoded slash in the prefix', '/api%2Fv1/pods'],
    ['an encoded slash in a path that is no resource', '/openapi%2Fv2'],
    ['an encoded slash at the end', '/api/v1/pods%2F'],
    ['an encoded backslash', '/api/v1/namespaces/n/pods/a%5Cb'],
    ['an encoded percent sign', '/api/v1/namespaces/n/pods/a%252Fb'],
    ['an encoded slash in a legacy watch', '/api/v1/watch%2Fpods'],
    ['dots before a semicolon', '/openapi/..;/api/v1/secrets'],
    ['a dot before an encoded semicolon', '/openapi/.%3Bx/api'],
    ['a legacy watch of nothing', '/api/v1/watch'],
    ['a legacy proxy to nothing', '/api/v1/proxy/'],
    ['a bad escape in the path', '/api/v1/pods/%zz'],
    ['bytes in the path that are no UTF-8', '/api/v1/pods/%ff'],
  ])('%s', (_, target) => {
    expect(() => infoOf('GET', target)).toThrow(StatusError);
    try {
      infoOf('GET', target);
    } catch (error) {
      expect((error as StatusError).status.code).toBe(400);
    }
  });

  test('10,000 parameters are as many as Go takes', () => {
    expect(infoOf('GET', `/api/v1/pods?${'a=1&'.repeat(9_999)}watch=1`).verb).toBe('watch');
  });
});
