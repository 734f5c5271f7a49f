import { expect, test } from 'vitest';
import { FlagsEnd } from './flag-set.ts';
import { parseGatewayFlags } from './gateway-flags.ts';

const files = ['--proxy-ca-cert=ca', '--proxy-cert=crt', '--proxy-key=key'];

const error = (argv: readonly string[]) => {
  try {
    parseGatewayFlags(argv);
  } catch (thrown) {
    if (thrown instanceof FlagsEnd) return thrown.message;
    throw thrown;
  }
  return 'it was accepted';
};

test.each([
  [[], undefined],
  [['--proxy-host='], undefined],
  // As in the Go gateway, whose charts leave them there.
  [['--proxy-host=', ...files], undefined],
  [
    ['--proxy-host=proxy', ...files],
    {
      mode: 'grpc',
      allowUnverified: false,
      server: {
        ...{ type: 'tcp', host: 'proxy', port: 8090 },
        ...{ caFile: 'ca', certificateFile: 'crt', keyFile: 'key' },
      },
    },
  ],
  [
    ['--proxy-host=proxy', '--proxy-port=443', ...files, '--proxy-mode=http-connect'],
    { mode: 'http-connect', server: { port: 443 } },
  ],
  [
    ['--proxy-uds=/run/x.sock', '--tunnel-allow-unverified'],
    { allowUnverified: true, server: { type: 'unix', path: '/run/x.sock' } },
  ],
])('%j', (argv, tunnel) => {
  const options = parseGatewayFlags(argv);
  if (tunnel) expect(options.tunnel).toMatchObject(tunnel);
  else expect(options.tunnel).toBeUndefined();
});

test.each([
  [['--proxy-host=x'], '--proxy-host needs --proxy-ca-cert, --proxy-cert and --proxy-key'],
  [['--proxy-host=x', ...files.slice(1)], '--proxy-host needs --proxy-ca-cert, --proxy-cert and --proxy-key'],
  [['--proxy-host=x', '--proxy-uds=/x', ...files], '--proxy-host and --proxy-uds exclude each other'],
  [
    ['--proxy-uds=/x', '--proxy-key=k'],
    '--proxy-uds is without TLS: --proxy-ca-cert, --proxy-cert and --proxy-key do not go with it',
  ],
  [['--proxy-port=0'], 'invalid value for --proxy-port: "0" is not a whole number from 1 to 65535'],
  [['--proxy-mode=http'], 'invalid value for --proxy-mode: "http" is not grpc or http-connect'],
])('%j is refused', (argv, message) => {
  expect(error(argv)).toBe(message);
});
