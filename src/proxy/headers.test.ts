import { describe, expect, test } from 'vitest';
import { requestHeaders, responseHeaders } from './headers.ts';

const options = {
  identityHeaders: { names: new Set(['x-who']), prefixes: ['x-who-extra-'] },
  authorization: 'Bearer ours',
  auditId: 'id-1',
  forwardedFor: '127.0.0.1',
  hops: '2',
  impersonation: ['impersonate-user', 'jane', 'impersonate-group', 'dev'],
};
const ours = [
  'x-forwarded-for',
  '127.0.0.1',
  'audit-id',
  'id-1',
  'x-cluster-gateway-hops',
  '2',
  'authorization',
  'Bearer ours',
  'impersonate-user',
  'jane',
  'impersonate-group',
  'dev',
];

describe('request headers', () => {
  test('pass in order, with duplicates and the case they came in', () => {
    const lines = ['Accept', 'a', 'X-B', '1', 'x-b', '2', 'content-length', '5', 'Warning', 'w'];
    expect(requestHeaders(lines, options)).toEqual([...lines, ...ours]);
  });

  test.each([
    'Authorization',
    'authorization',
    'PROXY-AUTHORIZATION',
    'cookie',
    'X-Remote-User',
    'x-remote-group',
    'X-Remote-Extra-Foo',
    'X-Remote-Uid',
    'Impersonate-User',
    'IMPERSONATE-GROUP',
    'impersonate-uid',
    'Impersonate-Extra-x',
    'Impersonate-Future',
    'X-Who',
    'X-Who-Extra-a',
    'host',
    'Connection',
    'keep-alive',
    'TE',
    'Transfer-Encoding',
    'Upgrade',
    'Expect',
    'Forwarded',
    'X-Forwarded-Host',
    'X-Forwarded-For',
    'http2-settings',
    'audit-id',
    'X-Cluster-Gateway-Hops',
  ])('%s does not reach the cluster', (name) => {
    expect(requestHeaders([name, 'evil', 'x', 'y'], options)).toEqual(['x', 'y', ...ours]);
  });

  test.each([
    [['Connection', 'Authorization, X-Forwarded-For, Audit-Id']],
    [['connection', '', 'CONNECTION', ' aUTHORIZATION ,,audit-id']],
    [['Connection', 'close', 'Connection', 'Impersonate-User\t, Authorization']],
  ])('a Connection line takes none of ours away: %j', (lines) => {
    expect(requestHeaders(lines, options)).toEqual(ours);
  });

  test('what Connection nominates is dropped', () => {
    expect(requestHeaders(['Connection', 'x-hop', 'X-Hop', '1', 'x-end', '2'], options)).toEqual([
      'x-end',
      '2',
      ...ours,
    ]);
  });

  test('a bearer subprotocol is cut out of the list, the others stay', () => {
    const lines = [
      'Sec-WebSocket-Protocol',
      'base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io',
    ];
    expect(requestHeaders(lines, options)).toEqual(['Sec-WebSocket-Protocol', 'v5.channel.k8s.io', ...ours]);
    expect(
      requestHeaders(['sec-websocket-protocol', 'base64url.bearer.authorization.k8s.io.c2VjcmV0'], options),
    ).toEqual(ours);
  });

  test('without a credential there is no Authorization', () => {
    expect(
      requestHeaders(['authorization', 'Bearer theirs'], { ...options, authorization: undefined }),
    ).toEqual([...ours.slice(0, 6), ...ours.slice(8)]);
  });
});

describe('response headers', () => {
  test('hop-by-hop lines and cookies are dropped, the rest is untouched', () => {
    const lines = [
      'Content-Type',
      'a',
      'Transfer-Encoding',
      'chunked',
      'Connection',
      'x-hop',
      'X-Hop',
      '1',
      'Set-Cookie',
      'c',
      'Warning',
      '1',
      'Warning',
      '2',
    ];
    expect(responseHeaders(lines)).toEqual(['Content-Type', 'a', 'Warning', '1', 'Warning', '2']);
  });
});
