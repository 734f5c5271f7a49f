import { once } from 'node:events';
import type { LookupFunction, Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { denyAddresses, guardedLookup } from './address-guard.ts';
import { dialFor } from './dial-for.ts';
import { createTcpDial } from './dial-tcp.ts';
import { startConnectProxy } from './testing/proxies.ts';
import { startTcp } from './testing/servers.ts';
import { failureOf } from './testing/streams.ts';

const never = new AbortController().signal;
const all = ['loopback', 'link-local', 'private'];

describe('addresses', () => {
  const guard = denyAddresses(all);
  test.each([
    ...['127.0.0.1', '127.255.255.254', '0.0.0.0', '0.1.2.3', '::1', '::', '0:0:0:0:0:0:0:1'],
    ...[
      '169.254.169.254',
      '169.254.0.0',
      'fe80::1',
      'fe80::1%eth0',
      `fe80::1%${'a'.repeat(60)}`,
      'febf::1',
      'fd00:ec2::254',
    ],
    ...['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1', '100.127.255.255'],
    ...['fc00::1', 'fdff::1', 'fec0::1', '64:ff9b:1::1'],
    ...['::ffff:127.0.0.1', '::ffff:7f00:1', '::FFFF:A9FE:A9FE', '0:0:0:0:0:ffff:10.0.0.1'],
    ...['::127.0.0.1', '::a00:1', '::ffff:0:10.0.0.1', '64:ff9b::169.254.169.254', '64:ff9b::a9fe:a9fe'],
    ...['2002:7f00:1::', '2002:a9fe:a9fe::1', '::ffff:192.168.0.1%eth0'],
    // No addresses: names must be resolved before they are asked about.
    ...['2130706433', '0177.0.0.1', '0x7f.1', '127.1', 'localhost', '', '256.1.1.1', '1.1.1.1:443'],
  ])('%j is denied', (address) => {
    expect(guard.allows(address)).toBe(false);
  });

  test.each([
    ...['1.1.1.1', '126.255.255.255', '128.0.0.1', '169.253.255.255', '169.255.0.0', '172.15.0.1'],
    ...['172.32.0.1', '192.167.255.255', '100.63.255.255', '100.128.0.1', '11.0.0.1', '192.169.0.1'],
    ...['2001:db8::1', 'fbff::1', '2600::1', '2606:4700::1111'],
    ...['::ffff:1.1.1.1', '64:ff9b::1.1.1.1', '2002:101:101::1', '2001:db8::7f00:1'],
  ])('%s is allowed', (address) => {
    expect(guard.allows(address)).toBe(true);
  });

  test('only what is named is denied', () => {
    const some = denyAddresses(['link-local', '203.0.113.0/24', '198.51.100.7', '2001:db8::/32']);
    const found = ['127.0.0.1', '10.0.0.1', '169.254.1.1', '203.0.113.255', '203.0.114.0', '198.51.100.7']
      .concat(['198.51.100.8', '2001:db8:1::1', '2001:db9::1', '::ffff:203.0.113.9'])
      .filter((address) => !some.allows(address));
    expect(found).toEqual([
      '169.254.1.1',
      '203.0.113.255',
      '198.51.100.7',
      '2001:db8:1::1',
      '::ffff:203.0.113.9',
    ]);
  });

  test.each([
    'public',
    'constructor',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0/8',
    '::/129',
    'a/8',
  ])('%s is no rule', (rule) => {
    expect(() => denyAddresses([rule])).toThrow(`"${rule}" is not loopback, link-local, private, an IP`);
  });
  test.each(['10.0.0.0/8/8', 'fe80::1%eth0', ' 10.0.0.1', ''])('%j is no rule', (rule) => {
    expect(() => denyAddresses([rule])).toThrow('an IP address or a CIDR');
  });
});

/** Answers every look-up; the last answer again and again. */
function resolving(...answers: readonly (readonly string[])[]) {
  let calls = 0;
  const lookup: LookupFunction = (_, options, done) => {
    const addresses = answers[Math.min(calls++, answers.length - 1)] ?? [];
    const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    if (options.all === true) process.nextTick(done, null, found);
    else process.nextTick(done, null, found[0]?.address ?? '', found[0]?.family);
  };
  return { lookup, calls: () => calls };
}

async function serving() {
  const sockets: Socket[] = [];
  const { address } = await startTcp((socket) => sockets.push(socket));
  return { address, accepted: () => sockets.length };
}

describe('dialling', () => {
  const denied = { kind: 'refused', message: expect.stringMatching(/may not be connected to$/) as string };

  test.each(['127.0.0.1', '::ffff:127.0.0.1', '::ffff:7f00:1'])('%s is not connected to', async (host) => {
    const { address, accepted } = await serving();
    const dial = createTcpDial({ guard: denyAddresses(['loopback']) });
    expect(await failureOf(dial({ ...address, host }, never))).toMatchObject(denied);
    expect(accepted()).toBe(0);
  });

  test.each(['localhost', '2130706433', '0177.0.0.1', '0x7f000001', '127.1', '017700000001'])(
    '%s is not, once it is resolved',
    async (host) => {
      const { address, accepted } = await serving();
      const failure = await failureOf(
        createTcpDial({ guard: denyAddresses(['loopback']) })({ ...address, host }, never),
      );
      // Where the system takes no such form for an address, there is no such host.
      expect(failure.message).toMatch(/no address that may be connected to|no such host/);
      expect(accepted()).toBe(0);
      if (host !== 'localhost') return;
      expect(failure).toMatchObject({
        kind: 'refused',
        message: 'dial tcp: lookup localhost: no address that may be connected to',
      });
    },
  );

  test('a name of several addresses leads to those that are allowed', async () => {
    const { address, accepted } = await serving();
    const { lookup, calls } = resolving(['10.1.2.3', '169.254.169.254', '127.0.0.1', '::ffff:10.0.0.1']);
    const dial = createTcpDial({ lookup, guard: denyAddresses(['link-local', 'private']) });
    const stream = (await dial({ ...address, host: 'some.example' }, never)) as Socket;
    expect(stream.remoteAddress).toBe('127.0.0.1');
    stream.destroy();
    expect(calls()).toBe(1);
    await expect.poll(accepted).toBe(1);
  });

  test('a name is resolved once: a second answer has no effect', async () => {
    const { address, accepted } = await serving();
    const { lookup, calls } = resolving(['127.0.0.9'], ['127.0.0.1']);
    const dial = createTcpDial({ lookup, guard: denyAddresses(['127.0.0.1']) });
    await failureOf(dial({ ...address, host: 'rebinding.example' }, never));
    expect([calls(), accepted()]).toEqual([1, 0]);
  });

  test('an allowed address and a name of one are connected to; families that are asked for one by one, too', async () => {
    const { address } = await serving();
    const guard = denyAddresses(['private']);
    for (const host of ['127.0.0.1', 'localhost'])
      (await createTcpDial({ guard })({ ...address, host }, never)).destroy();
    const [error, found, family] = await new Promise<unknown[]>((resolve) => {
      guardedLookup(guard, resolving(['10.0.0.1', '192.0.2.7']).lookup)('x', { all: false }, (...answer) =>
        resolve(answer),
      );
    });
    expect([error, found, family]).toEqual([null, '192.0.2.7', 4]);
  });

  test('what cannot be resolved says so as before', async () => {
    const lookup: LookupFunction = (_, __, done) =>
      process.nextTick(done, Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' }), []);
    const dial = createTcpDial({ lookup, guard: denyAddresses(all) });
    const failure = await failureOf(dial({ host: 'nowhere.example', port: 1 }, never));
    expect(failure).toMatchObject({
      kind: 'unreachable',
      message: 'dial tcp: lookup nowhere.example: no such host',
    });
  });

  test('proxies are guarded, and addresses behind them', async () => {
    const { address, accepted } = await serving();
    const proxy = await startConnectProxy();
    const url = `http://127.0.0.1:${proxy.address.port}`;
    const toProxy = dialFor(url, { guard: denyAddresses(['loopback']) });
    expect(await failureOf(toProxy({ host: 'some.example', port: 443 }, never))).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('may not be connected to') as string,
    });
    const behind = dialFor(url, { guard: denyAddresses(['private']) });
    expect(await failureOf(behind({ host: '10.0.0.1', port: 443 }, never))).toMatchObject(denied);
    const stream = await behind(address, never);
    await expect.poll(accepted).toBe(1);
    stream.destroy();
    await once(stream, 'close');
  });
});
