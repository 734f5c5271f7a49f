import { describe, expect, test } from 'vitest';
import { agentFlags } from './agent-flags.ts';
import { parseAgentFlags } from './agent-options.ts';
import { FlagsEnd } from './flag-set.ts';

type Environment = Readonly<Record<string, string>>;

const parse = (argv: readonly string[] = [], environment: Environment = {}) =>
  parseAgentFlags(argv, environment);

function error(argv: readonly string[], environment: Environment = {}): string {
  try {
    parse(argv, environment);
  } catch (thrown) {
    if (!(thrown instanceof FlagsEnd)) throw thrown;
    expect(thrown.exitCode).toBe(2);
    return thrown.message;
  }
  throw new Error('it was accepted');
}

const inCluster = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };
const apiServer = { host: '10.96.0.1', port: 443 };

test('defaults are those of the Go agent, but for the keepalive', () => {
  expect(parse()).toEqual({
    agentId: expect.stringMatching(/^[0-9a-f]{8}-/) as string,
    identifiers: '',
    servers: [{ host: '127.0.0.1', port: 8091 }],
    caFile: undefined,
    certificateFile: undefined,
    keyFile: undefined,
    tokenFile: undefined,
    alpnProtocols: [],
    syncIntervalMs: 1_000,
    syncIntervalCapMs: 10_000,
    syncForever: false,
    keepaliveMs: 35_000,
    allowedDestinations: [],
    aliases: new Map(),
    dialTimeoutMs: 5_000,
    drainMinMs: 10_000,
    drainGraceMs: 3_600_000,
    healthHost: '',
    healthPort: 8093,
    adminHost: '127.0.0.1',
    adminPort: 8094,
    verbosity: 0,
  });
});

/** As the Go project's tests start another agent: every flag, as pflag prints its value (tests/framework/agent.go). */
const goFlags = [
  ...['--admin-bind-address=127.0.0.1', '--admin-server-port=40001', '--agent-cert=/c/agent.crt'],
  ...[
    '--agent-id=1234',
    '--agent-identifiers=',
    '--agent-key=/c/agent.key',
    '--alpn-proto=[]',
    '--ca-cert=/c/ca.crt',
  ],
  ...['--count-server-leases=false', '--enable-contention-profiling=false', '--enable-profiling=false'],
  ...['--health-server-host=127.0.0.1', '--health-server-port=50002', '--keepalive-time=1h0m0s'],
  ...['--kube-api-content-type=application/vnd.kubernetes.protobuf', '--kubeconfig='],
  ...['--lease-label=k8s-app=konnectivity-server', '--lease-label-selector=k8s-app=konnectivity-server'],
  ...['--lease-namespace=kube-system', '--probe-interval=100ms', '--proxy-server-host=127.0.0.1'],
  ...['--proxy-server-port=40003', '--server-count-source=default', '--service-account-token-path='],
  ...[
    '--sync-forever=false',
    '--sync-interval=100ms',
    '--sync-interval-cap=1s',
    '--warn-on-channel-limit=false',
  ],
  '--xfr-channel-size=150',
];

test('every flag of the Go agent is read', () => {
  expect(parse(goFlags, { CLUSTER_GATEWAY_AGENT_ALLOW_DESTINATIONS: '*' })).toMatchObject({
    agentId: '1234',
    servers: [{ host: '127.0.0.1', port: 40_003 }],
    ...{
      caFile: '/c/ca.crt',
      certificateFile: '/c/agent.crt',
      keyFile: '/c/agent.key',
      tokenFile: undefined,
    },
    alpnProtocols: [],
    ...{ syncIntervalMs: 100, syncIntervalCapMs: 1_000, keepaliveMs: 3_600_000 },
    allowedDestinations: ['*'],
    ...{ healthHost: '127.0.0.1', healthPort: 50_002, adminHost: '127.0.0.1', adminPort: 40_001 },
  });
  const logging = [
    ...['--logtostderr=true', '--v=4', '--vmodule=', '--stderrthreshold=2', '--add-dir-header=false'],
    ...[
      '--alsologtostderr=false',
      '--log-backtrace-at=:0',
      '--log-dir=',
      '--log-file=',
      '--log-file-max-size=1800',
    ],
    ...['--one-output=false', '--skip-headers=false', '--skip-log-headers=false'],
  ];
  expect(parse(logging).verbosity).toBe(4);
});

test('every flag says what it does, and its default can be read', () => {
  for (const [name, flag] of Object.entries(agentFlags)) {
    expect(flag.help, name).toMatch(/^[A-Z].*\.$/);
    if ('default' in flag && flag.default !== '') expect(() => flag.parse(flag.default), name).not.toThrow();
  }
});

describe('what may be said', () => {
  test.each([
    [
      ['--proxy-server-host=a,b:9000', '--proxy-server-port=1'],
      {
        servers: [
          { host: 'a', port: 1 },
          { host: 'b', port: 9000 },
        ],
      },
    ],
    [['--alpn-proto=[a,b]'], { alpnProtocols: ['a', 'b'] }],
    [['--alpn-proto=a', '--alpn-proto=b'], { alpnProtocols: ['a', 'b'] }],
    [['--keepalive-time=1s'], { keepaliveMs: 31_000 }],
    [['--keepalive-time=99999h'], { keepaliveMs: 2 ** 31 - 1 }],
    [['--keepalive-time=2m'], { keepaliveMs: 120_000 }],
    [['--sync-forever'], { syncForever: true }],
    [['--drain-min=0s', '--drain-grace=20s'], { drainMinMs: 0, drainGraceMs: 20_000 }],
    [
      ['--agent-identifiers=host=a&ipv4=1.2.3.4&default-route=true'],
      { identifiers: 'host=a&ipv4=1.2.3.4&default-route=true' },
    ],
    [['--health-server-port=0'], { healthPort: 0 }],
    [['--count-server-leases=false'], {}],
    [['--enable-profiling', '--enable-contention-profiling'], {}],
  ])('%j', (argv, options) => {
    expect(parse(argv)).toMatchObject(options);
  });

  test.each([
    [['--agent-cert=a'], '--agent-cert and --agent-key go together'],
    [['--agent-key=a'], '--agent-cert and --agent-key go together'],
    [
      ['--proxy-server-port=0'],
      'invalid value for --proxy-server-port: "0" is not a whole number from 1 to 65535',
    ],
    [['--health-server-port=65536'], 'invalid value for --health-server-port'],
    [['--admin-server-port=-1'], 'invalid value for --admin-server-port'],
    [['--xfr-channel-size=0'], 'invalid value for --xfr-channel-size'],
    [['--proxy-server-host='], 'invalid value for --proxy-server-host'],
    [['--proxy-server-host=a,,b'], 'invalid value for --proxy-server-host: "" is not a host'],
    [['--sync-interval=11s'], '--sync-interval must not be more than --sync-interval-cap'],
    [['--sync-interval=0s'], 'invalid value for --sync-interval: it must be more than 0'],
    [['--enable-contention-profiling'], '--enable-contention-profiling needs --enable-profiling'],
    [
      ['--count-server-leases'],
      'invalid value for --count-server-leases: it is not implemented by this version',
    ],
    [['--server-count-source=both'], 'invalid value for --server-count-source'],
    [['--agent-identifiers=hosts=a'], 'invalid value for --agent-identifiers: unknown address type: hosts'],
    [
      ['--agent-identifiers=host=a b'],
      'invalid value for --agent-identifiers: it is not a URL-encoded query',
    ],
    [['--agent-id=a b'], 'invalid value for --agent-id'],
    [['--allow-destinations=10.0.0.0/99'], 'invalid value for --allow-destinations: "10.0.0.0/99" is not'],
    [['--destination-alias=a:1'], 'invalid value for --destination-alias: "a:1" is not name:port=host:port'],
    [['--destination-alias=a=b'], 'invalid value for --destination-alias: "a=b" is not name:port=host:port'],
    [['--no-such-flag'], "unknown option '--no-such-flag'"],
    [['word'], 'unknown argument "word"'],
  ])('%j may not', (argv, message) => {
    expect(error(argv)).toContain(message);
  });
});

test('the name of the agent is that of the flag, of the environment, or a new one', () => {
  const environment = { PROXY_AGENT_ID: 'from-environment' };
  expect(parse(['--agent-id=from-flag'], environment).agentId).toBe('from-flag');
  expect(parse([], environment).agentId).toBe('from-environment');
  expect(parse().agentId).not.toBe(parse().agentId);
});

describe('destinations', () => {
  test('without a cluster and without flags there are none', () => {
    expect(parse().allowedDestinations).toEqual([]);
  });

  test('in a cluster it is the kube-apiserver, also by the names of OCM', () => {
    const { allowedDestinations, aliases } = parse(
      ['--agent-identifiers=host=cluster-1&host=cluster-1.agents'],
      inCluster,
    );
    expect(allowedDestinations).toEqual([
      ...['10.96.0.1:443', 'kubernetes:443', 'kubernetes.default:443', 'kubernetes.default.svc:443'],
      ...['kubernetes.default.svc.cluster.local:443', 'cluster-1:443', 'cluster-1.agents:443'],
    ]);
    expect([...aliases]).toEqual([
      ['cluster-1:443', apiServer],
      ['cluster-1.agents:443', apiServer],
    ]);
  });

  test('of a cluster with IPv6', () => {
    const { allowedDestinations, aliases } = parse(['--agent-identifiers=host=c'], {
      ...{ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' },
    });
    expect(allowedDestinations[0]).toBe('[fd00::1]:6443');
    expect(aliases.get('c:443')).toEqual({ host: 'fd00::1', port: 6443 });
  });

  test('elsewhere the identifiers are names that DNS knows', () => {
    const { allowedDestinations, aliases } = parse(['--agent-identifiers=host=localhost']);
    expect([allowedDestinations, aliases.size]).toEqual([['localhost:443'], 0]);
  });

  test('the flag takes the place of all of that, the environment that of the default', () => {
    const identifiers = '--agent-identifiers=host=cluster-1';
    const environment = { ...inCluster, CLUSTER_GATEWAY_AGENT_ALLOW_DESTINATIONS: ' 10.0.0.0/8:443, *.svc ' };
    expect(parse([identifiers], environment).allowedDestinations).toEqual(['10.0.0.0/8:443', '*.svc']);
    const both = parse([identifiers, '--allow-destinations=a:1', '--allow-destinations=b'], environment);
    expect(both.allowedDestinations).toEqual(['a:1', 'b']);
    expect(parse(['--allow-destinations='], environment).allowedDestinations).toEqual([]);
    expect(
      parse([], { ...inCluster, CLUSTER_GATEWAY_AGENT_ALLOW_DESTINATIONS: '' }).allowedDestinations,
    ).toEqual([]);
  });

  test('an alias is allowed by being one, and comes before that of an identifier', () => {
    const { allowedDestinations, aliases } = parse(
      [
        '--agent-identifiers=host=c',
        '--destination-alias=C:443=10.0.0.9:6443,db:5432=[fd00::1]:5432',
        '--allow-destinations=x',
      ],
      inCluster,
    );
    expect(allowedDestinations).toEqual(['x', 'C:443', 'db:5432']);
    expect([...aliases]).toEqual([
      ['c:443', { host: '10.0.0.9', port: 6443 }],
      ['db:5432', { host: 'fd00::1', port: 5432 }],
    ]);
  });
});
