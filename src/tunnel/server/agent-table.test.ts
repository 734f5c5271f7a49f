import { describe, expect, test } from 'vitest';
import { parseIdentifiers } from '../agent-identifiers.ts';
import type { AgentLink } from './agent-link.ts';
import { AgentTable, hostOf } from './agent-table.ts';
import type { Strategy } from './agent-table.ts';

const link = (identifiers: string, more: { load?: number; isDraining?: boolean } = {}) =>
  ({ identifiers: parseIdentifiers(identifiers), load: 0, isDraining: false, ...more }) as AgentLink;

function tableOf(strategies: readonly Strategy[], ...links: AgentLink[]) {
  let turn = 0;
  const table = new AgentTable(strategies, () => (turn = (turn + 0.37) % 1));
  for (const each of links) table.add(each);
  return table;
}

describe('the host of an address', () => {
  test.each([
    ['cluster1:443', 'cluster1'],
    ['cluster1', 'cluster1'],
    ['10.0.0.1:443', '10.0.0.1'],
    ['[fd00::1]:443', 'fd00::1'],
    ['[fd00::1]', 'fd00::1'],
    ['fd00::1', 'fd00::1'],
    ['', ''],
  ])('%s', (address, host) => expect(hostOf(address)).toBe(host));
});

describe('the table of agents', () => {
  test('finds by host, IPv4 and IPv6, to the letter (upstream: TestDestHostBackendManager_AddRemoveBackends, TestAddRemoveBackends_DestHostStrategy)', () => {
    const agent = link('host=cluster1&ipv4=10.0.0.1&ipv6=fd00::1&cidr=10.1.0.0/16');
    const table = tableOf(['destHost'], agent);
    for (const address of ['cluster1:443', '10.0.0.1:1', '[fd00::1]:443'])
      expect(table.pick(address)).toBe(agent);
    for (const address of ['Cluster1:443', 'cluster', '10.1.0.5:1'])
      expect(table.pick(address)).toBeUndefined();
    table.delete(agent);
    expect(table.pick('cluster1:443')).toBeUndefined();
    expect(table.size).toBe(0);
  });

  test('asks its strategies in their order (upstream: TestAddRemoveBackends_DestHostWithDefault)', () => {
    const [host, route, other] = [link('host=a'), link('default-route=true'), link('')];
    expect(tableOf(['destHost', 'defaultRoute'], other, route, host).pick('a:1')).toBe(host);
    expect(tableOf(['destHost', 'defaultRoute'], other, route, host).pick('b:1')).toBe(route);
    expect(tableOf(['destHost'], other, route, host).pick('b:1')).toBeUndefined();
    expect(tableOf(['destHost', 'default'], other).pick('b:1')).toBe(other);
  });

  test('takes the one with less to do of the same identifier (upstream: TestDestHostBackendManager_WithDuplicateIdents, TestAddRemoveBackends_DestHostWithDuplicateIdents)', () => {
    const [busy, idle] = [link('host=a', { load: 5 }), link('host=a', { load: 4 })];
    const table = tableOf(['destHost'], busy, idle);
    for (let i = 0; i < 20; i += 1) expect(table.pick('a:1')).toBe(idle);
  });

  test('reaches every one of many', () => {
    const links = Array.from({ length: 20 }, () => link(''));
    const table = tableOf(['default'], ...links);
    const found = new Set(Array.from({ length: 2_000 }, () => table.pick('x:1')));
    expect(found.size).toBe(20);
  });

  test('avoids those that drain as long as there is another, however many there are (upstream: TestDestHostBackendManager_Backend_DrainingFallback)', () => {
    const links = Array.from({ length: 20 }, (_, at) => link('host=a', { isDraining: at !== 13 }));
    const table = tableOf(['destHost'], ...links);
    for (let i = 0; i < 100; i += 1) expect(table.pick('a:1')).toBe(links[13]);
    table.delete(links[13] as AgentLink);
    expect(table.pick('a:1')?.isDraining).toBe(true);
  });

  test('counts what each strategy can find (upstream: TestTotalReadyBackendsMetric)', () => {
    const table = tableOf(
      ['destHost', 'defaultRoute', 'default'],
      link('host=a&host=b'),
      link('default-route=true'),
    );
    expect([...table.counts()]).toEqual([
      ['destHost', 2],
      ['defaultRoute', 1],
      ['default', 2],
    ]);
  });
});
