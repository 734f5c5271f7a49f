import { describe, expect, test } from 'vitest';
import { ServerResolver, parseServers } from './server-addresses.ts';

const signal = new AbortController().signal;

describe('the list of servers', () => {
  test.each([
    ['127.0.0.1', [{ host: '127.0.0.1', port: 8091 }]],
    [
      'a, b:9000',
      [
        { host: 'a', port: 8091 },
        { host: 'b', port: 9000 },
      ],
    ],
    [
      'fd00::1,[fd00::2]:1,[fd00::3]',
      [
        { host: 'fd00::1', port: 8091 },
        { host: 'fd00::2', port: 1 },
        { host: 'fd00::3', port: 8091 },
      ],
    ],
  ])('%s', (text, servers) => {
    expect(parseServers(text, 8091)).toEqual(servers);
  });

  test.each(['', 'a,', 'https://a', 'a:0', 'a:b'])('%j is wrong', (text) => {
    expect(() => parseServers(text, 8091)).toThrow('is not a host');
  });
});

test('every address of every name, and IP addresses as they are', async () => {
  const resolver = new ServerResolver(
    [
      { host: 'a', port: 1 },
      { host: '10.0.0.9', port: 2 },
      { host: 'a', port: 3 },
    ],
    () => Promise.resolve(['10.0.0.1', 'fd00::1', '10.0.0.1']),
  );
  const { addresses, failures } = await resolver.resolve(signal);
  expect(failures).toEqual([]);
  expect(addresses).toEqual([
    { host: 'a', ip: '10.0.0.1', port: 1 },
    { host: 'a', ip: 'fd00::1', port: 1 },
    { host: '10.0.0.9', ip: '10.0.0.9', port: 2 },
    { host: 'a', ip: '10.0.0.1', port: 3 },
    { host: 'a', ip: 'fd00::1', port: 3 },
  ]);
});

test('a name that cannot be resolved keeps what it had, and does not hold up the others', async () => {
  let isBroken = false;
  const resolver = new ServerResolver(
    [
      { host: 'a', port: 1 },
      { host: 'b', port: 1 },
    ],
    (host) =>
      isBroken && host === 'a'
        ? Promise.reject(Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' }))
        : Promise.resolve([host === 'a' ? '10.0.0.1' : isBroken ? '10.0.0.3' : '10.0.0.2']),
  );
  const ips = async () => (await resolver.resolve(signal)).addresses.map(({ ip }) => ip);
  expect(await ips()).toEqual(['10.0.0.1', '10.0.0.2']);
  isBroken = true;
  expect(await ips()).toEqual(['10.0.0.1', '10.0.0.3']);
  const { failures } = await resolver.resolve(signal);
  expect(failures.map(({ message }) => message)).toEqual(['dial tcp: lookup a: no such host']);
});

test('a look-up that does not end is not begun again, and can be left', async () => {
  let begun = 0;
  const resolver = new ServerResolver([{ host: 'a', port: 1 }], () => {
    begun += 1;
    return new Promise(() => {});
  });
  for (let i = 0; i < 3; i += 1) {
    const leaving = new AbortController();
    const resolved = resolver.resolve(leaving.signal);
    leaving.abort();
    expect((await resolved).failures).toHaveLength(1);
  }
  expect(begun).toBe(1);
});

test('more addresses of a name than there can be servers are not used', async () => {
  const resolver = new ServerResolver([{ host: 'a', port: 1 }], () =>
    Promise.resolve(Array.from({ length: 1000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`)),
  );
  expect((await resolver.resolve(signal)).addresses).toHaveLength(64);
});
