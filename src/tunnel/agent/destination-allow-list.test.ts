import { describe, expect, test } from 'vitest';
import { createDestinationAllowList } from './destination-allow-list.ts';
import { parseHostPort } from './host-port.ts';

function allows(entries: readonly string[], text: string): boolean {
  const address = parseHostPort(text);
  if (!address) throw new Error('not an address');
  return createDestinationAllowList(entries).allows(address);
}

test.each([
  [['*'], 'anything:1'],
  [['*'], '[::1]:1'],
  [['*:443'], '10.0.0.1:443'],
  [['kubernetes.default.svc:443'], 'kubernetes.default.svc:443'],
  [['kubernetes.default.svc'], 'kubernetes.default.svc:6443'],
  [['kubernetes.default.svc:*'], 'Kubernetes.Default.Svc.:6443'],
  [['*.svc:80'], 'web.shop.svc:80'],
  [['web-*.shop.*'], 'web-1.shop.svc:80'],
  [['a*b*c'], 'aXbYbZc:1'],
  [['10.0.0.1'], '10.0.0.1:9'],
  [['10.0.0.1:9'], '10.0.0.1:9'],
  [['10.0.0.0/8:443'], '10.255.0.1:443'],
  [['[fd00::/8]:443'], '[fd12::1]:443'],
  [['fd00::/8'], '[fd12:0:0::1]:443'],
  [['fd00::1'], '[fd00:0::1]:443'],
  [['[fd00::1]'], '[fd00::1]:443'],
  [['fe80::/10'], '[fe80::1%eth0]:443'],
  [['other:1', 'this:2'], 'this:2'],
])('%j allows %s', (entries, text) => {
  expect(allows(entries, text)).toBe(true);
});

test.each([
  [[], 'anything:1'],
  [['*:443'], '10.0.0.1:80'],
  [['kubernetes.default.svc:443'], 'kubernetes.default.svc:6443'],
  [['kubernetes.default.svc'], 'kubernetes.default.svc.example.com:443'],
  [['*.svc'], 'svc:80'],
  [['*.svc'], 'web.svc.example.com:80'],
  [['web-*'], '10.0.0.1:80'],
  [['a*b*b'], 'ab:1'],
  [['ab*ba'], 'aba:1'],
  [['10.0.0.0/8'], '11.0.0.1:443'],
  [['10.0.0.0/8'], 'localhost:443'],
  // Not an address in Node's eyes, but one in those of getaddrinfo.
  [['127.0.0.0/8'], '127.1:80'],
])('%j does not allow %s', (entries, text) => {
  expect(allows(entries, text)).toBe(false);
});

describe('what cannot be read is refused by name', () => {
  test.each([
    ...[
      '',
      'a b',
      'host:0',
      'host:65536',
      'host:http',
      '10.0.*',
      '*.1',
      '10.0.0.0/33',
      'fd00::/129',
      '10.0.0.0/8/8',
      'host/8',
    ],
    ...['[10.0.0.1]:80', '[host]:80', 'fe80::1%eth0', 'https://host', '10.0.0.0/'],
  ])('%j', (entry) => {
    expect(() => createDestinationAllowList([entry])).toThrow(JSON.stringify(entry));
  });
});

test('many stars cost no more than their number', () => {
  const list = createDestinationAllowList([`${'a*'.repeat(40)}b`]);
  const begun = performance.now();
  expect(list.allows({ host: 'a'.repeat(255), port: 1 })).toBe(false);
  expect(performance.now() - begun).toBeLessThan(50);
});
