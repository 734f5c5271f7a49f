import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { gatewayFlags, notImplemented } from './gateway-flag-table.ts';
import { FlagsEnd, parseGatewayFlags, unknownGates } from './gateway-flags.ts';

const repository = resolve(import.meta.dirname, '../..');

/** How parsing ended. */
function end(...argv: readonly string[]): { text: string; exitCode: number } {
  try {
    parseGatewayFlags(argv);
  } catch (error) {
    if (error instanceof FlagsEnd) return { text: error.message, exitCode: error.exitCode };
    throw error;
  }
  throw new Error('it was accepted');
}

const error = (...argv: readonly string[]) => {
  const { text, exitCode } = end(...argv);
  expect(exitCode).toBe(2);
  return text;
};

describe('defaults', () => {
  test('are those of kube-apiserver and the Go gateway', () => {
    expect(parseGatewayFlags([])).toEqual({
      bindAddress: '0.0.0.0',
      securePort: 443,
      certDirectory: 'apiserver.local.config/certificates',
      tlsCertFile: undefined,
      tlsPrivateKeyFile: undefined,
      tlsMinVersion: 'TLSv1.2',
      tlsCipherSuites: [],
      tlsSniCertificates: [],
      disableHttp2: false,
      maxStreamsPerConnection: 1000,
      goawayChance: 0,
      shutdownDelayMs: 0,
      shutdownGraceMs: 30_000,
      shutdownSendRetryAfter: false,
      shutdownWatchSpreadMs: 10_000,
      kubeconfig: undefined,
      authenticationKubeconfig: undefined,
      authorizationKubeconfig: undefined,
      skipAuthenticationLookup: false,
      tolerateAuthenticationLookupFailure: false,
      tokenCacheTtlMs: 10_000,
      apiAudiences: [],
      clientCaFile: undefined,
      requestHeader: {
        clientCaFile: undefined,
        allowedNames: [],
        usernameHeaders: ['x-remote-user'],
        groupHeaders: ['x-remote-group'],
        extraHeaderPrefixes: ['x-remote-extra-'],
        uidHeaders: [],
      },
      alwaysAllowPaths: ['/healthz', '/readyz', '/livez'],
      allowCacheTtlMs: 10_000,
      denyCacheTtlMs: 10_000,
      secretNamespace: 'vela-system',
      requireClusterCa: false,
      execPluginAllowlist: [],
      authorizeProxySubpath: false,
      requireCreateForUpgrade: false,
      deniedEndpointAddresses: [],
      identity: {
        rulesFile: undefined,
        deniedUsers: [
          'system:admin',
          'system:aggregator',
          'system:apiserver',
          'system:bootstrap:*',
          'system:cloud-controller-manager',
          'system:kube-*',
          'system:node:*',
          'system:serviceaccount:kube-system:*',
          'system:volume-scheduler',
        ],
        droppedGroups: ['system:*', 'kubeadm:cluster-admins'],
        droppedExtras: ['authentication.kubernetes.io/*'],
        sendUid: true,
      },
      userAgent: 'cluster-gateway',
      featureGates: new Map(),
      inFlight: { readOnly: 400, mutating: 200, longRunning: 10_000 },
      inFlightShare: 0.75,
      inFlightShareOfCluster: 0.5,
      requestTimeoutMs: 60_000,
      minRequestTimeoutMs: 1_800_000,
      audit: {
        policyFile: undefined,
        logPath: undefined,
        maxAgeDays: 366,
        maxBackups: 100,
        maxBytes: 100 * 1024 * 1024,
        compress: false,
      },
      verbosity: 0,
    });
  });
});

describe('forms of flags, as pflag reads them', () => {
  test.each([
    [['--secure-port=9443']],
    [['--secure-port', '9443']],
    [['apiserver', '--secure-port=9443']],
    [['--secure-port=1', '--secure-port=9443']],
  ])('%j', (argv) => {
    expect(parseGatewayFlags(argv).securePort).toBe(9443);
  });

  test.each([
    [['--require-cluster-ca'], true],
    [['--require-cluster-ca', 'apiserver'], true],
    [['--require-cluster-ca', '--v=2'], true],
    ...['true', 'TRUE', 'True', 't', 'T', '1'].map((yes) => [[`--require-cluster-ca=${yes}`], true] as const),
    ...['false', 'FALSE', 'False', 'f', 'F', '0'].map(
      (no) => [[`--require-cluster-ca=${no}`], false] as const,
    ),
  ] as const)('%j is %s', (argv, value) => {
    expect(parseGatewayFlags(argv).requireClusterCa).toBe(value);
  });

  test('a boolean does not take the next word, so that the word is not lost', () => {
    expect(error('--require-cluster-ca', 'false')).toBe('unknown argument "false"');
  });

  test.each([[['-v', '4']], [['-v=4']], [['-v4']], [['--v=4']], [['--v', '4']]])('%j', (argv) => {
    expect(parseGatewayFlags(argv).verbosity).toBe(4);
  });

  test.each([
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['300ms', 300],
    ['0', 0],
    ['0s', 0],
  ])('duration %s', (text, ms) => {
    expect(parseGatewayFlags([`--shutdown-grace-duration=${text}`]).shutdownGraceMs).toBe(ms);
  });

  test('lists drop empty members', () => {
    const argv = ['--requestheader-allowed-names=a, b,,', '--authorization-always-allow-paths='];
    const { requestHeader, alwaysAllowPaths } = parseGatewayFlags(argv);
    expect(requestHeader.allowedNames).toEqual(['a', 'b']);
    expect(alwaysAllowPaths).toEqual([]);
  });

  test.each([
    ['a list', ['--requestheader-allowed-names=a,b', '--requestheader-allowed-names', 'c']],
    [
      'one that is empty between',
      [
        '--requestheader-allowed-names=a,b',
        '--requestheader-allowed-names=',
        '--requestheader-allowed-names=c',
      ],
    ],
  ])('%s that is given again grows', (_, argv) => {
    expect(parseGatewayFlags(argv).requestHeader.allowedNames).toEqual(['a', 'b', 'c']);
  });

  test('the first value of a list takes the place of its default', () => {
    const argv = ['--exec-plugin-allowlist=aws', '--exec-plugin-allowlist=gcp'];
    expect(parseGatewayFlags(argv).execPluginAllowlist).toEqual(['aws', 'gcp']);
  });

  test('gates and cipher suites that are given again are added, and a later gate counts', () => {
    const argv = [
      '--feature-gates=HealthinessCheck=true,Foo=true',
      '--feature-gates=Foo=false',
      '--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
      '--tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
    ];
    const { featureGates, tlsCipherSuites } = parseGatewayFlags(argv);
    expect([...featureGates]).toEqual([
      ['HealthinessCheck', true],
      ['Foo', false],
    ]);
    expect(tlsCipherSuites).toEqual(['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384']);
  });

  test('certificates by name, as often as there are some', () => {
    const argv = ['--tls-sni-cert-key=a.crt, a.key', '--tls-sni-cert-key', 'b.crt,b.key:*.foo.com, foo.com'];
    expect(parseGatewayFlags(argv).tlsSniCertificates).toEqual([
      { certificateFile: 'a.crt', keyFile: 'a.key', names: [] },
      { certificateFile: 'b.crt', keyFile: 'b.key', names: ['*.foo.com', 'foo.com'] },
    ]);
  });

  test.each(['0', '0.02', '.001'])('--goaway-chance=%s', (text) => {
    expect(parseGatewayFlags([`--goaway-chance=${text}`]).goawayChance).toBe(Number(text));
  });

  test('a file whose name is empty is none', () => {
    const argv = [
      '--audit-log-path=',
      '--kubeconfig=',
      '--tls-cert-file=',
      '--tls-private-key-file=',
      '--client-ca-file=',
    ];
    expect(parseGatewayFlags(argv)).toEqual(parseGatewayFlags([]));
  });

  test('cipher suites and versions by their Go names', () => {
    const argv = [
      '--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
      '--tls-min-version=VersionTLS13',
    ];
    expect(parseGatewayFlags(argv)).toMatchObject({
      tlsMinVersion: 'TLSv1.3',
      tlsCipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
    });
  });
});

describe('feature gates', () => {
  const gates = (text: string) => [...parseGatewayFlags([`--feature-gates=${text}`]).featureGates];

  test('a trailing comma, and gates of others', () => {
    expect(gates('HealthinessCheck=true,Foo=false,')).toEqual([
      ['HealthinessCheck', true],
      ['Foo', false],
    ]);
    expect(unknownGates(parseGatewayFlags(['--feature-gates=HealthinessCheck=true,Foo=false']))).toEqual([
      'Foo',
    ]);
    expect(gates('')).toEqual([]);
    expect(gates('ClientIdentityPenetration=true')).toHaveLength(1);
    expect(gates('SecretCache=true,OCMClusterCache=false')).toHaveLength(2);
  });

  test.each([
    ['SecretCache=false', '--feature-gates: SecretCache=false is not implemented by this version'],
    [
      'HealthinessCheck',
      'invalid value for --feature-gates: missing bool value for feature gate "HealthinessCheck"',
    ],
    ['HealthinessCheck=maybe', 'invalid value for --feature-gates: "maybe" is not true or false'],
  ])('%s is refused', (text, message) => {
    expect(error(`--feature-gates=${text}`)).toBe(message);
  });
});

describe('what is refused', () => {
  test.each([
    [['--nope'], "unknown option '--nope'"],
    [['--nope=1'], "unknown option '--nope=1'"],
    [['--no-logtostderr'], "unknown option '--no-logtostderr'"],
    [['--secure-port'], "option '--secure-port <port>' argument missing"],
    [
      ['--secure-port=99999'],
      'invalid value for --secure-port: "99999" is not a whole number from 0 to 65535',
    ],
    [['--secure-port', '-1'], 'invalid value for --secure-port: "-1" is not a whole number from 0 to 65535'],
    [['--secure-port=0x1f'], 'invalid value for --secure-port: "0x1f" is not a whole number from 0 to 65535'],
    [['--secure-port='], 'invalid value for --secure-port: "" is not a whole number from 0 to 65535'],
    [['--require-cluster-ca=yes'], 'invalid value for --require-cluster-ca: "yes" is not true or false'],
    [['--secret-namespace='], 'invalid value for --secret-namespace: it must not be empty'],
    [
      ['--shutdown-delay-duration=10'],
      'invalid value for --shutdown-delay-duration: "10" is not a duration such as 10s or 1m30s',
    ],
    [
      ['--tls-cipher-suites=TLS_RSA_WITH_RC4_128_SHA'],
      'invalid value for --tls-cipher-suites: cipher suite "TLS_RSA_WITH_RC4_128_SHA" is not known or not secure',
    ],
    [
      ['--tls-min-version=VersionTLS10'],
      'invalid value for --tls-min-version: "VersionTLS10" is not VersionTLS12 or VersionTLS13',
    ],
    [['--request-timeout=0'], 'invalid value for --request-timeout: it must be more than 0'],
    [
      ['--request-timeout=-5s'],
      'invalid value for --request-timeout: "-5s" is not a duration such as 10s or 1m30s',
    ],
    [
      ['--max-inflight-share-per-user=101'],
      'invalid value for --max-inflight-share-per-user: "101" is not a whole number from 1 to 100',
    ],
    [['--goaway-chance=0.03'], 'invalid value for --goaway-chance: "0.03" is not a number from 0 to 0.02'],
    [['--goaway-chance', '-1'], 'invalid value for --goaway-chance: "-1" is not a number from 0 to 0.02'],
    [['--goaway-chance=NaN'], 'invalid value for --goaway-chance: "NaN" is not a number from 0 to 0.02'],
    ...['a.crt', 'a.crt,', 'a.crt,a.key,b', ',:x'].map(
      (text) =>
        [
          [`--tls-sni-cert-key=${text}`],
          `invalid value for --tls-sni-cert-key: "${text}" is not a certificate file and a key file with a comma between them`,
        ] as [string[], string],
    ),
    [
      ['--tls-sni-cert-key=a,b:'],
      'invalid value for --tls-sni-cert-key: "a,b:" has no names behind the colon',
    ],
    [['--tls-cert-file=a'], '--tls-cert-file and --tls-private-key-file go together'],
    [['start'], 'unknown argument "start"'],
    [['apiserver', 'now'], 'unknown argument "now"'],
  ])('%j', (argv, message) => {
    expect(error(...argv)).toBe(message);
  });

  test.each([...notImplemented])('--%s, by its name', (name) => {
    expect(error(`--${name}=x`)).toBe(`--${name} is not implemented by this version`);
    expect(error(`--${name}`, 'x')).toBe(`--${name} is not implemented by this version`);
  });

  test('a flag is either there or not implemented', () => {
    expect(Object.keys(gatewayFlags).filter((name) => notImplemented.has(name))).toEqual([]);
  });
});

test('what is off anyway may be switched off', () => {
  expect(
    parseGatewayFlags([
      '--ocm-integration=false',
      '--logtostderr',
      '--virtual-clutser-with-control-plane=false',
    ]),
  ).toEqual(parseGatewayFlags([]));
  expect(error('--ocm-integration=true')).toBe('--ocm-integration is not implemented by this version');
});

describe('--help', () => {
  test('is exact', async () => {
    const { text, exitCode } = end('--help');
    expect(exitCode).toBe(0);
    await expect(text).toMatchFileSnapshot('gateway-help.txt');
    expect(end('-h')).toEqual({ text, exitCode });
    expect(end('apiserver', '--help')).toEqual({ text, exitCode });
  });

  test('names every flag, and the README does with its default', async () => {
    const { text } = end('--help');
    const readme = await readFile(join(repository, 'README.md'), 'utf8');
    for (const [name, flag] of Object.entries(gatewayFlags)) {
      const hidden = 'hidden' in flag;
      expect(text.includes(`--${name}`), name).toBe(!hidden);
      const row = readme.split('\n').find((line) => line.startsWith(`| \`--${name}\``)) ?? '';
      if (!hidden)
        expect(row, name).toContain('default' in flag && flag.default !== '' ? `\`${flag.default}\`` : '|');
    }
  });
});

describe('the command', () => {
  const run = (...args: readonly string[]) =>
    spawnSync(process.execPath, [join(repository, 'src/cli/main.ts'), ...args], { encoding: 'utf8' });

  test('wrong flags end it with 2 and one line', () => {
    expect(run('apiserver', '--nope')).toMatchObject({
      status: 2,
      stdout: '',
      stderr: "unknown option '--nope'\n",
    });
    expect(run('--standalone-debug-mode=x')).toMatchObject({
      status: 2,
      stderr: '--standalone-debug-mode is not implemented by this version\n',
    });
  });

  test('help goes to standard output', () => {
    expect(run('apiserver', '--help')).toMatchObject({ status: 0, stderr: '', stdout: end('--help').text });
  });
});
