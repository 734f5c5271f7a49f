import { expect, test } from 'vitest';
import { parseHostPort, plainName } from './host-port.ts';

test.each([
  ['kubernetes.default.svc:443', { host: 'kubernetes.default.svc', port: 443 }],
  ['10.0.0.1:1', { host: '10.0.0.1', port: 1 }],
  ['[fd00::1]:6443', { host: 'fd00::1', port: 6443 }],
  ['[fe80::1%eth0]:80', { host: 'fe80::1%eth0', port: 80 }],
  ['a_b:65535', { host: 'a_b', port: 65_535 }],
])('%s is read', (text, address) => {
  expect(parseHostPort(text)).toEqual(address);
});

test.each([
  ...[
    '',
    'host',
    ':80',
    'host:',
    'host:0',
    'host:65536',
    'host:8o',
    'fd00::1:80',
    '[fd00::1]',
    '[]:80',
    '[host]:80',
  ],
  ...[
    '[10.0.0.1]:80',
    'a b:80',
    'a\0b:80',
    'a/b:80',
    'user@host:80',
    'host:80:80',
    ' host:80',
    'host:+80',
    'höst:80',
  ],
  `${'a'.repeat(256)}:80`,
])('%j is none', (text) => {
  expect(parseHostPort(text)).toBeUndefined();
});

test('names are compared without case and the last dot', () => {
  expect(plainName('Kubernetes.Default.SVC.')).toBe('kubernetes.default.svc');
});
