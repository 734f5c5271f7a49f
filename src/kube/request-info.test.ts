import { describe, expect, test } from 'vitest';
import { isInt64, requestInfo } from './request-info.ts';
import { StatusError } from './status.ts';

const G = '/apis/cluster.core.oam.dev/v1alpha1';
const C = `${G}/clustergateways`;

/** method, target, verb, prefix, group, version, namespace, resource, subresource, name, parts; `-` is empty. */
const resources = String.raw`
  GET /api/v1/namespaces list api - v1 - namespaces - - namespaces
  GET /api/v1/namespaces/o get api - v1 o namespaces - o namespaces|o
  GET /api/v1/namespaces/o/pods list api - v1 o pods - - pods
  GET /api/v1/namespaces/o/pods/ list api - v1 o pods - - pods
  GET /api/v1/namespaces/o/pods/f get api - v1 o pods - f pods|f
  HEAD /api/v1/namespaces/o/pods/f get api - v1 o pods - f pods|f
  HEAD /api/v1/pods list api - v1 - pods - - pods
  GET /api/v1/pods list api - v1 - pods - - pods
  GET /api/v1/pods?watch=true watch api - v1 - pods - - pods
  GET /api/v1/pods?watch=1 watch api - v1 - pods - - pods
  GET /api/v1/pods?watch watch api - v1 - pods - - pods
  GET /api/v1/pods?watch= watch api - v1 - pods - - pods
  GET /api/v1/pods?watch=yes watch api - v1 - pods - - pods
  GET /api/v1/pods?watch=false list api - v1 - pods - - pods
  GET /api/v1/pods?watch=FALSE list api - v1 - pods - - pods
  GET /api/v1/pods?watch=0 list api - v1 - pods - - pods
  GET /api/v1/pods?watch=0&watch=1 list api - v1 - pods - - pods
  GET /api/v1/pods?watch=true;x list api - v1 - pods - - pods
  GET /api/v1/pods?WATCH=true list api - v1 - pods - - pods
  GET /api/v1/pods?%77atch=true watch api - v1 - pods - - pods
  GET /api/v1/pods?watch=true&limit=x watch api - v1 - pods - - pods
  GET /api/v1/pods/f?watch=true get api - v1 - pods - f pods|f
  POST /api/v1/pods?watch=true create api - v1 - pods - - pods
  GET /api/v1/watch/pods watch api - v1 - pods - - pods
  DELETE /api/v1/watch/pods/f watch api - v1 - pods - f pods|f
  GET /api/v1/watch/namespaces/o/pods watch api - v1 o pods - - pods
  GET /api/v1/proxy/namespaces/o/pods/f proxy api - v1 o pods - f pods|f
  GET /api/v1/proxy/namespaces/o/pods/f/a/b proxy api - v1 o pods - f pods|f|a|b
  GET $G/watch/clustergateways/f watch apis $g $v - $c - f $c|f
  GET /api/v1/namespaces/o/pods/f/status get api - v1 o pods status f pods|f|status
  PUT /api/v1/namespaces/o/finalize update api - v1 o namespaces finalize o namespaces|o|finalize
  PUT /api/v1/namespaces/o/status update api - v1 o namespaces status o namespaces|o|status
  GET /api/v1/namespaces//pods list api - v1 - pods - - pods
  PATCH /api/v1/namespaces/o/pods/f patch api - v1 o pods - f pods|f
  PUT /api/v1/nodes/f update api - v1 - nodes - f nodes|f
  DELETE /api/v1/nodes/f delete api - v1 - nodes - f nodes|f
  DELETE /api/v1/nodes deletecollection api - v1 - nodes - - nodes
  DELETE /api/v1/namespaces deletecollection api - v1 - namespaces - - namespaces
  DELETE /apis/apps/v1/namespaces/o/deployments deletecollection apis apps v1 o deployments - - deployments
  POST /apis/apps/v1/namespaces/o/deployments create apis apps v1 o deployments - - deployments
  OPTIONS /api/v1/pods - api - v1 - pods - - pods
  TRACE /api/v1/pods/f - api - v1 - pods - f pods|f
  get /api/v1/pods/f - api - v1 - pods - f pods|f
  GET $C list apis $g $v - $c - - $c
  GET $C?limit=500 list apis $g $v - $c - - $c
  GET $C/foo get apis $g $v - $c - foo $c|foo
  GET $C/foo/proxy get apis $g $v - $c proxy foo $c|foo|proxy
  GET $C/foo/proxy/ get apis $g $v - $c proxy foo $c|foo|proxy
  GET $C/foo/proxy/api/v1/pods?watch=true get apis $g $v - $c proxy foo $c|foo|proxy|api|v1|pods
  POST $C/foo/proxy/api/v1/pods create apis $g $v - $c proxy foo $c|foo|proxy|api|v1|pods
  DELETE $C/foo/proxy/api/v1/pods delete apis $g $v - $c proxy foo $c|foo|proxy|api|v1|pods
  GET $C/foo%2Fproxy get apis $g $v - $c proxy foo $c|foo|proxy
  GET $C/foo/health/../proxy/x get apis $g $v - $c health foo $c|foo|health|..|proxy|x
  GET $C/foo//proxy/x get apis $g $v - $c - foo $c|foo||proxy|x
  GET $C//proxy/x list apis $g $v - $c proxy - $c||proxy|x
  DELETE $C//proxy deletecollection apis $g $v - $c proxy - $c||proxy
  GET $C/%2e%2e/proxy get apis $g $v - $c proxy .. $c|..|proxy
  GET $C/foo/PROXY/x get apis $g $v - $c PROXY foo $c|foo|PROXY|x
  GET $C/foo/proxy;x/y get apis $g $v - $c proxy;x foo $c|foo|proxy;x|y
  GET $C/a%00b/proxy get apis $g $v - $c proxy a\0b $c|a\0b|proxy
  GET $C/foo/proxy/a%252Fb get apis $g $v - $c proxy foo $c|foo|proxy|a%2Fb
  GET $C/foo/proxy/%E7%94%A8 get apis $g $v - $c proxy foo $c|foo|proxy|用
  GET $C/foo/proxy/a%3Fb get apis $g $v - $c proxy foo $c|foo|proxy|a?b
  GET $G/namespaces/ns/clustergateways/foo/proxy/x get apis $g $v ns $c proxy foo $c|foo|proxy|x
  GET /$C/foo get apis $g $v - $c - foo $c|foo
  GET /apis/g//pods/x get apis g - - pods - x pods|x
  GET $C?fieldSelector=metadata.name%3Dfoo list apis $g $v - $c - foo $c
  GET $C?fieldSelector=metadata.name%3D%3Dfoo&watch=1 watch apis $g $v - $c - foo $c
  GET $C?fieldSelector=metadata.name!%3Dfoo list apis $g $v - $c - - $c
  GET $C?fieldSelector=metadata.name%3Da/b list apis $g $v - $c - - $c
  GET $C?fieldSelector=metadata.name%3Dfoo,bar list apis $g $v - $c - - $c
  GET $C?fieldSelector=metadata.name%3Dfoo&limit=x list apis $g $v - $c - - $c
  GET $C?fieldSelector=metadata.name%3Dfoo&labelSelector=a%3D%3D%3Db list apis $g $v - $c - - $c
  GET $C?fieldSelector=metadata.name%3Db,metadata.name%3Da list apis $g $v - $c - a $c
  DELETE $C?fieldSelector=metadata.name%3Dfoo deletecollection apis $g $v - $c - - $c`
  .replaceAll('$G', G)
  .replaceAll('$C', C)
  .replaceAll('$D', C.slice(1))
  .replaceAll('$g', 'cluster.core.oam.dev')
  .replaceAll('$v', 'v1alpha1')
  .replaceAll('$c', 'clustergateways')
  .trim()
  .split('\n')
  .map((line) => line.trim().split(' '));

describe('a request for a resource', () => {
  test.each(resources)('%s %s', (method = '', target = '', ...expected) => {
    const [verb, apiPrefix, apiGroup, apiVersion, namespace, resource, subresource, name, parts] =
      expected.map((cell) => (cell === '-' ? '' : cell.replaceAll('\\0', '\0')));
    const info = requestInfo(method, target);
    expect(info).toMatchObject({ isResourceRequest: true, verb, apiPrefix, apiGroup, apiVersion });
    expect(info).toMatchObject({ namespace, resource, subresource, name, parts: parts?.split('|') });
  });
});

const nonResources: readonly (readonly [string, string, string, string])[] = [
  ['GET', '/', 'get', '/'],
  ['GET', '/healthz', 'get', '/healthz'],
  ['POST', '/healthz?x=1', 'post', '/healthz'],
  ['GET', '/api', 'get', '/api'],
  ['GET', '/api/v1', 'get', '/api/v1'],
  ['GET', '/api/v1/', 'get', '/api/v1/'],
  ['GET', '/apis', 'get', '/apis'],
  ['HEAD', '/apis/apps', 'head', '/apis/apps'],
  ['GET', G, 'get', G],
  ['GET', `${G}/`, 'get', `${G}/`],
  ['GET', `${G}?timeout=5s`, 'get', G],
  ['GET', '/apis//clustergateways', 'get', '/apis//clustergateways'],
  ['GET', '/openapi/v3/apis/apps/v1?hash=1', 'get', '/openapi/v3/apis/apps/v1'],
  ['GET', '/API/v1/pods', 'get', '/API/v1/pods'],
  ['GET', '/badprefix/v1/pods', 'get', '/badprefix/v1/pods'],
  ['GET', '/%61pi', 'get', '/api'],
  ['OPTIONS', '*', 'options', '*'],
];

describe('a request for something else', () => {
  test.each(nonResources)('%s %s', (method, target, verb, path) => {
    const info = requestInfo(method, target);
    expect(info).toMatchObject({ isResourceRequest: false, verb, path, resource: '', name: '', parts: [] });
  });
});

describe('selectors', () => {
  const rows: readonly (readonly [string, string, string, string])[] = [
    ['GET', '/apis/g/v/r?fieldSelector=foo%3Dbar&labelSelector=baz%3Dqux', 'foo=bar', 'baz=qux'],
    ['DELETE', '/apis/g/v/r?fieldSelector=foo=bar&labelSelector=baz=qux', 'foo=bar', 'baz=qux'],
    ['GET', '/apis/g/v/r?fieldSelector=a=b&fieldSelector=c=d&labelSelector=e+in+(f)', 'a=b', 'e in (f)'],
    ['GET', '/apis/g/v/r/n?fieldSelector=foo=bar&labelSelector=foo=bar', '', ''],
    ['GET', '/apis/g/v/watch/r?fieldSelector=metadata.name=foo&labelSelector=foo=bar', '', ''],
    ['POST', '/apis/g/v/r?fieldSelector=foo=bar', '', ''],
  ];
  test.each(rows)('%s %s', (method, target, fieldSelector, labelSelector) => {
    expect(requestInfo(method, target)).toMatchObject({ fieldSelector, labelSelector });
  });
});

describe('what cannot be read is refused', () => {
  const bad = [
    ...['/a%zz', '/a%', '/a%f', '/%ff', '/%C0%AF', '/a b', '/a\tb', '/\u00e9', '/\x7f', ''],
    ...['http://evil/api/v1/pods', 'api/v1/pods', '?watch=1', '/api/v1/watch', '/apis/g/v/proxy/'],
  ];
  test.each(bad)('%j', (target) => {
    expect(() => requestInfo('GET', target)).toThrow(StatusError);
  });
  test('quickly, too', () => {
    const started = performance.now();
    requestInfo('GET', `/${'/'.repeat(500_000)}a`);
    expect(performance.now() - started).toBeLessThan(500);
  });
});

test('integers are those of Go', () => {
  for (const text of ['0', '-1', '+7', '007', '9223372036854775807', '-9223372036854775808'])
    expect(isInt64(text), text).toBe(true);
  for (const text of ['', ' 1', '1.0', '1e3', '0x1', '9223372036854775808', '1_0', '--1'])
    expect(isInt64(text), text).toBe(false);
});
