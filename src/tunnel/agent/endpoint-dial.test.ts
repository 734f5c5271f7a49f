import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { Address } from '../../net/dial.ts';
import { failureOf } from '../../net/testing/streams.ts';
import { createDestinationAllowList } from './destination-allow-list.ts';
import { aliasKey, createEndpointDial } from './endpoint-dial.ts';

function dialer(allow: readonly string[], aliases: Record<string, Address> = {}) {
  const dialed: Address[] = [];
  const dial = createEndpointDial({
    allowList: createDestinationAllowList(allow),
    aliases: new Map(Object.entries(aliases)),
    dial: (address) => {
      dialed.push(address);
      return Promise.resolve(new PassThrough());
    },
  });
  const ask = (address: string, protocol = 'tcp') =>
    dial({ protocol, address }, new AbortController().signal);
  return { ask, dialed };
}

test('what is allowed is dialled as it was asked for', async () => {
  const { ask, dialed } = dialer(['10.0.0.1:443', '[fd00::1]:443']);
  await ask('10.0.0.1:443');
  await ask('[fd00::1]:443');
  expect(dialed).toEqual([
    { host: '10.0.0.1', port: 443 },
    { host: 'fd00::1', port: 443 },
  ]);
});

describe('what is not', () => {
  test.each([
    ['10.0.0.2:443', 'tcp', 'dial tcp 10.0.0.2:443: destination is not allowed'],
    ['10.0.0.1:443', 'unix', 'dial unix: unknown network unix'],
    ['10.0.0.1:443', 'x'.repeat(1000), `dial ${'x'.repeat(16)}: unknown network ${'x'.repeat(16)}`],
    ['/var/run/docker.sock', 'tcp', 'dial tcp: address /var/run/docker.sock: is not a host and a port'],
    ['10.0.0.1', 'tcp', 'dial tcp: address 10.0.0.1: is not a host and a port'],
    [':443', 'tcp', 'dial tcp: address :443: is not a host and a port'],
  ])('%s (%s)', async (address, protocol, message) => {
    const { ask, dialed } = dialer(['10.0.0.1:443']);
    const failure = await failureOf(ask(address, protocol));
    expect([failure.kind, failure.message, dialed]).toEqual(['refused', message, []]);
  });
});

test('an alias leads elsewhere, and is allowed by its own name', async () => {
  const target = { host: '10.96.0.1', port: 443 };
  const { ask, dialed } = dialer(['cluster-a:443'], {
    [aliasKey({ host: 'Cluster-A.', port: 443 })]: target,
  });
  await ask('cluster-a:443');
  await ask('CLUSTER-A:443');
  expect(dialed).toEqual([target, target]);
  expect((await failureOf(ask('cluster-a:80'))).kind).toBe('refused');
  expect((await failureOf(ask('10.96.0.1:443'))).kind).toBe('refused');
});
