import { describe, expect, test } from 'vitest';
import { auditedUser, auditedUserAgent, sourceAddresses } from './audit-event.ts';

describe('where a request came from', () => {
  test.each([
    [[], '192.0.2.1', ['192.0.2.1']],
    [['X-Forwarded-For', '10.0.0.1, 10.0.0.2'], '192.0.2.1', ['10.0.0.1', '10.0.0.2', '192.0.2.1']],
    [['X-Forwarded-For', '10.0.0.1,192.0.2.1'], '192.0.2.1', ['10.0.0.1', '192.0.2.1']],
    [['X-Forwarded-For', 'unknown, 10.0.0.1, a b, "'], '192.0.2.1', ['10.0.0.1', '192.0.2.1']],
    [['X-Forwarded-For', '2001:DB8::1'], '::1', ['2001:db8::1', '::1']],
    [['X-Forwarded-For', 'fe80::1%eth0'], '::1', ['::1']],
    [['X-Real-Ip', '10.0.0.9'], '192.0.2.1', ['10.0.0.9', '192.0.2.1']],
    [['X-Forwarded-For', '10.0.0.9', 'X-Real-Ip', '10.0.0.9'], '192.0.2.1', ['10.0.0.9', '192.0.2.1']],
    // Go looks at the first line only, and so who adds one of his own behind the hub's gains nothing.
    [['x-forwarded-for', '10.0.0.1', 'x-forwarded-for', '10.0.0.2'], '::1', ['10.0.0.1', '::1']],
    // A listener on :: sees IPv4 callers so.
    [[], '::ffff:192.0.2.1', ['192.0.2.1']],
    [['X-Forwarded-For', '10.0.0.1'], '', ['10.0.0.1']],
  ] as const)('%j from %s', (headers, remote, expected) => {
    expect(sourceAddresses(headers, remote)).toEqual(expected);
  });
});

describe('a user', () => {
  test('has no empty fields', () => {
    expect(auditedUser(undefined)).toEqual({});
    expect(auditedUser({ name: 'jane', uid: '', groups: [], extra: {} })).toEqual({ username: 'jane' });
    const whole = { name: 'jane', uid: '7', groups: ['dev'], extra: { scopes: ['a'] } };
    expect(auditedUser(whole)).toEqual({
      username: 'jane',
      uid: '7',
      groups: ['dev'],
      extra: { scopes: ['a'] },
    });
  });
});

describe('a user agent', () => {
  test('is cut after 1024 characters', () => {
    expect(auditedUserAgent(['User-Agent', 'x'.repeat(1024)])).toBe('x'.repeat(1024));
    expect(auditedUserAgent(['User-Agent', 'x'.repeat(1025)])).toBe(`${'x'.repeat(1024)}...TRUNCATED`);
    expect(auditedUserAgent([])).toBeUndefined();
  });
});
