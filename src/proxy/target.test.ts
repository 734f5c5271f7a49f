import { describe, expect, test } from 'vitest';
import { requestInfo } from '../kube/request-info.ts';
import { StatusError } from '../kube/status.ts';
import { parseProxyTarget } from './target.ts';

const prefix = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways';
const parse = (target: string) => parseProxyTarget(target, prefix, requestInfo('GET', target));
const statusOf = (target: string) => {
  try {
    parse(target);
    return 200;
  } catch (error) {
    return error instanceof StatusError ? error.status.code : 0;
  }
};

describe('the target of a proxied request', () => {
  test.each([
    ['foo/proxy', 'foo', '/', ''],
    ['foo/proxy/', 'foo', '/', ''],
    ['foo/proxy?a=b', 'foo', '/', '?a=b'],
    ['foo/proxy/healthz', 'foo', '/healthz', ''],
    ['foo/proxy/healthz/', 'foo', '/healthz/', ''],
    ['a.b-c/proxy/api/v1/pods?watch=true&x=%2F', 'a.b-c', '/api/v1/pods', '?watch=true&x=%2F'],
    [
      'foo/proxy/api/v1/namespaces/x/services/https:y:80/proxy/a%2Fb;c=d',
      'foo',
      '/api/v1/namespaces/x/services/https:y:80/proxy/a%2Fb;c=d',
      '',
    ],
    ['foo/proxy/a..b/.c/d.', 'foo', '/a..b/.c/d.', ''],
    ['foo/proxy/x?dryRun=All&dryRun=All&__dryRun=x', 'foo', '/x', '?dryRun=All&dryRun=All&__dryRun=x'],
    ['foo/proxy/x?impersonate=false', 'foo', '/x', '?impersonate=false'],
  ])('%s', (rest, cluster, path, query) => {
    expect(parse(`${prefix}/${rest}`)).toEqual({ cluster, path, query });
  });

  test.each([
    'foo/health/../proxy/x',
    'foo//proxy/x',
    'foo/proxy/../../bar/proxy/x',
    'foo/proxy/..',
    'foo/proxy/.',
    'foo/proxy/./x',
    'foo/proxy/%2e%2e/x',
    'foo/proxy/%2E./x',
    'foo/proxy/.%2e',
    'foo/proxy/a%2f..%2fb',
    'foo/proxy/a%5c..%5cb',
    'foo/proxy//x',
    'foo/proxy/x//y',
    'foo/proxy/x%00.',
    'foo/proxy/x%00',
    'foo%2Fproxy',
    'foo%2Fproxy/x',
    'f%6fo/proxy/x',
    'foo/pro%78y/x',
    'foo/PROXY/x',
    'foo/proxy;a=b/x',
    'Foo/proxy/x',
    '-foo/proxy/x',
    '/proxy/x',
    '../proxy/x',
  ])('%s is refused', (rest) => {
    expect(statusOf(`${prefix}/${rest}`)).toBe(400);
  });

  test.each([
    '/apis/cluster.core.oam.dev/v1alpha1/namespaces/ns/clustergateways/foo/proxy/x',
    '/apis/cluster.core.oam.dev/v1alpha1/watch/clustergateways/foo/proxy',
    '//apis/cluster.core.oam.dev/v1alpha1/clustergateways/foo/proxy/x',
    '/api%73/cluster.core.oam.dev/v1alpha1/clustergateways/foo/proxy/x',
  ])('%s is refused', (target) => {
    expect(statusOf(target)).toBe(400);
  });
});
