import { describe, expect, test } from 'vitest';
import { formatIdentifiers, parseIdentifiers } from './agent-identifiers.ts';
import type { AgentIdentifiers } from './agent-identifiers.ts';

const none: AgentIdentifiers = { host: [], ipv4: [], ipv6: [], cidr: [], defaultRoute: false };

describe('what an agent says it can be reached by', () => {
  test.each<[string, Partial<AgentIdentifiers>]>([
    ['', {}],
    ['host=a&host=b&ipv4=10.0.0.1&ipv6=%3A%3A1', { host: ['a', 'b'], ipv4: ['10.0.0.1'], ipv6: ['::1'] }],
    ['cidr=10.0.0.0%2F8&uid=x&new-kind=y&host=a', { cidr: ['10.0.0.0/8'], host: ['a'] }],
    ['ipv6=::1&host=a+b&host=%E2%98%83', { ipv6: ['::1'], host: ['a b', '☃'] }],
    ['Host=a', {}],
    ['default-route=true', { defaultRoute: true }],
    ['default-route=1', { defaultRoute: true }],
    ['default-route=T', { defaultRoute: true }],
    ['default-route=false', {}],
    ['default-route=yes', {}],
    ['default-route=', {}],
    ['default-route=false&default-route=true', {}],
  ])('%s', (text, identifiers) => {
    expect(parseIdentifiers(text)).toEqual({ ...none, ...identifiers });
  });

  test('is read as it was written (upstream: TestGenAgentIdentifiers)', () => {
    const all: AgentIdentifiers = {
      host: ['cluster1', 'cluster1.ns', 'a&b=c d'],
      ipv4: ['10.0.0.1'],
      ipv6: ['fd00::1'],
      cidr: ['10.0.0.0/8'],
      defaultRoute: true,
    };
    expect(parseIdentifiers(formatIdentifiers(all))).toEqual(all);
    expect(formatIdentifiers({ ...none, host: ['a', 'b'], defaultRoute: true })).toBe(
      'host=a&host=b&default-route=true',
    );
    expect(formatIdentifiers(none)).toBe('');
  });
});
