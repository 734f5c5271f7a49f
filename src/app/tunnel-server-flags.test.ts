import { describe, expect, test } from 'vitest';
import { FlagsEnd } from './flag-set.ts';
import { tunnelServerFlags } from './tunnel-server-flag-table.ts';
import { parseTunnelServerFlags } from './tunnel-server-flags.ts';

const parse = (argv: readonly string[], environment: Record<string, string> = {}) =>
  parseTunnelServerFlags(argv, environment);

function end(...argv: readonly string[]): { text: string; exitCode: number } {
  try {
    parse(argv);
  } catch (error) {
    if (error instanceof FlagsEnd) return { text: error.message, exitCode: error.exitCode };
    throw error;
  }
  throw new Error('it was accepted');
}

const frontend = ['--server-ca-cert=f/ca.crt', '--server-cert=f/tls.crt', '--server-key=f/tls.key'];
const agentPair = ['--cluster-cert=a/tls.crt', '--cluster-key=a/tls.key'];
const agents = ['--cluster-ca-cert=a/ca.crt', ...agentPair];
const socket = ['--uds-name=/run/anp.sock', '--server-port=0'];
const least = [...frontend, ...agents];
const tokens = [...['--agent-namespace=ns', '--agent-service-account=sa', '--authentication-audience=aud']];

test('defaults', () => {
  const uuid = expect.stringMatching(/^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/) as string;
  expect(parse(least)).toEqual({
    serverId: uuid,
    serverCount: { type: 'fixed', count: 1 },
    strategies: ['default'],
    frontend: {
      mode: 'grpc',
      address: { type: 'tcp', host: '', port: 8090 },
      certificates: { certificateFile: 'f/tls.crt', keyFile: 'f/tls.key', clientCaFile: 'f/ca.crt' },
      allowedNames: [],
    },
    agents: {
      address: { type: 'tcp', host: '', port: 8091 },
      certificates: { certificateFile: 'a/tls.crt', keyFile: 'a/tls.key', clientCaFile: 'a/ca.crt' },
    },
    agentTokens: undefined,
    kubeconfig: undefined,
    identifierRule: 'any',
    tlsMinVersion: 'TLSv1.2',
    tlsCipherSuites: [],
    dialTimeoutMs: 15_000,
    keepaliveMs: 30_000,
    frontendKeepaliveMs: 30_000,
    maxPendingDials: 10_000,
    maxHeldBytes: 256 * 1024 * 1024,
    shutdownGraceMs: 25_000,
    health: { host: '', port: 8092 },
    admin: { host: '127.0.0.1', port: 8095 },
    verbosity: 0,
  });
  expect(parse(least).serverId).not.toBe(parse(least).serverId);
});

describe('what may be said', () => {
  test.each([
    [['--mode=http-connect'], { frontend: { mode: 'http-connect' } }],
    [['--server-port=0', '--server-bind-address=::1'], { frontend: { address: { host: '::1', port: 0 } } }],
    [['--agent-port=49151', '--agent-bind-address=10.0.0.1'], { agents: { address: { port: 49_151 } } }],
    [['--health-port=1024', '--health-bind-address=::'], { health: { host: '::', port: 1024 } }],
    [['--admin-port=0', '--admin-bind-address='], { admin: { host: '127.0.0.1', port: 0 } }],
    [['--server-count=3'], { serverCount: { type: 'fixed', count: 3 } }],
    [['--server-count-from-dns=anp'], { serverCount: { type: 'dns', host: 'anp' } }],
    [['--server-count=3', '--server-count-from-dns=anp'], { serverCount: { type: 'dns', host: 'anp' } }],
    [
      ['--proxy-strategies=destHost,defaultRoute,default'],
      { strategies: ['destHost', 'defaultRoute', 'default'] },
    ],
    // As a text flag of Go's, the last counts.
    [['--proxy-strategies=default', '--proxy-strategies=destHost,'], { strategies: ['destHost'] }],
    [['--bind-agent-identifiers=certificate'], { identifierRule: 'certificate' }],
    [
      ['--keepalive-time=1h', '--frontend-keepalive-time=0'],
      { keepaliveMs: 3_600_000, frontendKeepaliveMs: 0 },
    ],
    [['--backend-dial-timeout=0'], { dialTimeoutMs: 0 }],
    [['--graceful-shutdown-timeout=1m30s'], { shutdownGraceMs: 90_000 }],
    [['--max-pending-dials=1', '--max-held-bytes=1048576'], { maxPendingDials: 1, maxHeldBytes: 1_048_576 }],
    [['--tls-min-version=VersionTLS13'], { tlsMinVersion: 'TLSv1.3' }],
    [['--tls-min-version='], { tlsMinVersion: 'TLSv1.2' }],
    [
      ['--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', '--cipher-suites=TLS_AES_128_GCM_SHA256'],
      { tlsCipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256', 'TLS_AES_128_GCM_SHA256'] },
    ],
    [['-v=5'], { verbosity: 5 }],
  ])('%j', (argv, options) => {
    expect(parse([...least, ...argv])).toMatchObject(options);
  });

  test('a timer longer than Node can wait is shortened, and does not fire at once', () => {
    expect(parse([...least, '--keepalive-time=10000h']).keepaliveMs).toBe(2 ** 31 - 1);
  });

  test('a Unix socket for frontends, without TLS', () => {
    expect(parse([...socket, ...agents]).frontend).toEqual({
      mode: 'grpc',
      address: { type: 'unix', path: '/run/anp.sock', deleteExisting: true },
      allowedNames: [],
      certificates: undefined,
    });
    expect(parse([...socket, ...agents, '--delete-existing-uds-file=false']).frontend?.address).toMatchObject(
      {
        deleteExisting: false,
      },
    );
  });

  test('tokens of agents', () => {
    const options = parse([...frontend, ...agentPair, ...tokens, '--kubeconfig=k']);
    expect(options.agentTokens).toEqual({ namespace: 'ns', serviceAccount: 'sa', audience: 'aud' });
    expect(options.kubeconfig).toBe('k');
    expect(options.agents.certificates.clientCaFile).toBeUndefined();
  });

  test('agents whom nobody knows, when that is said', () => {
    const options = parse([...frontend, ...agentPair, '--allow-unauthenticated-agents']);
    expect([options.agentTokens, options.agents.certificates.clientCaFile]).toEqual([undefined, undefined]);
  });

  test('the server ID: by flag, else by environment', () => {
    const environment = { PROXY_SERVER_ID: 'from-environment' };
    expect(parse(least, environment).serverId).toBe('from-environment');
    expect(parse([...least, '--server-id=from-flag'], environment).serverId).toBe('from-flag');
    expect(parse(least, { PROXY_SERVER_ID: '' }).serverId).toHaveLength(36);
  });
});

test('the manifests of Open Cluster Management and of konnectivity', () => {
  const ocm = ['--server-count=3', '--proxy-strategies=destHost'];
  expect(parse([...least, ...ocm])).toMatchObject({ serverCount: { count: 3 }, strategies: ['destHost'] });
  const konnectivity = [
    ...['--logtostderr=true', '--log-file=/var/log/k.log', '--log-file-max-size=0', '--admin-port=8093'],
    ...['--delete-existing-uds-file', '--agent-port=8091', '--health-port=8092', '--keepalive-time=1h'],
    ...['--mode=grpc', '--kubeconfig=/etc/kubernetes/admin.conf', ...tokens],
  ];
  expect(parse([...socket, ...agentPair, ...konnectivity]).admin).toEqual({ host: '127.0.0.1', port: 8093 });
});

/** ANP cmd/server/app/options/options.go, v0.36.0 and the commits after it. */
const flagsOfGo = [
  ...[
    'server-cert',
    'server-key',
    'server-ca-cert',
    'cluster-cert',
    'cluster-key',
    'cluster-ca-cert',
    'mode',
  ],
  ...['uds-name', 'delete-existing-uds-file', 'server-port', 'server-bind-address', 'agent-port'],
  ...['agent-bind-address', 'admin-port', 'admin-bind-address', 'health-port', 'health-bind-address'],
  ...['keepalive-time', 'frontend-keepalive-time', 'enable-profiling', 'enable-contention-profiling'],
  ...[
    'server-id',
    'server-count',
    'agent-namespace',
    'agent-service-account',
    'kubeconfig',
    'kubeconfig-qps',
  ],
  ...['kubeconfig-burst', 'kube-api-content-type', 'authentication-audience', 'proxy-strategies'],
  ...['cipher-suites', 'tls-min-version', 'xfr-channel-size', 'frontend-write-channel-size'],
  ...['enable-lease-controller', 'lease-namespace', 'lease-label', 'graceful-shutdown-timeout'],
  ...['backend-dial-timeout', 'warn-on-channel-limit', 'v', 'logtostderr'],
];

test.each(flagsOfGo)('--%s of the Go server is known', (name) => {
  expect(Object.keys(tunnelServerFlags)).toContain(name);
});

test('what means nothing here changes nothing', () => {
  const argv = [
    ...['--xfr-channel-size=150', '--frontend-write-channel-size=0', '--kubeconfig-qps=1.5'],
    ...['--kubeconfig-burst=10', '--kube-api-content-type=application/vnd.kubernetes.protobuf'],
    ...['--enable-profiling=false', '--enable-contention-profiling=false', '--enable-lease-controller=false'],
    ...['--lease-namespace=x', '--lease-label=a=b', '--warn-on-channel-limit', '--alsologtostderr'],
    ...['--vmodule=a=1', '--stderrthreshold=2', '--server-id=a'],
  ];
  expect(parse([...least, ...argv])).toEqual(parse([...least, '--server-id=a']));
});

describe('what is refused', () => {
  const port = (text: string) => `"${text}" is not a port from 1024 to 49151, nor 0 for a free one`;
  test.each([
    [['--elephants'], "unknown option '--elephants'"],
    [['now'], 'unknown argument "now"'],
    [['--mode=udp'], 'invalid value for --mode: "udp" is not grpc or http-connect'],
    [['--server-port=1023'], `invalid value for --server-port: ${port('1023')}`],
    [['--agent-port=49152'], `invalid value for --agent-port: ${port('49152')}`],
    [['--health-port=80'], `invalid value for --health-port: ${port('80')}`],
    [['--admin-port=x'], `invalid value for --admin-port: ${port('x')}`],
    [['--agent-port=-1'], `invalid value for --agent-port: ${port('-1')}`],
    [
      ['--proxy-strategies='],
      'invalid value for --proxy-strategies: it must name one of default, destHost, defaultRoute',
    ],
    [
      ['--proxy-strategies=destHost,destCIDR'],
      'invalid value for --proxy-strategies: "destCIDR" is not default, destHost, defaultRoute',
    ],
    [['--server-count=0'], 'invalid value for --server-count: "0" is not a whole number from 1 to 100000'],
    [
      ['--bind-agent-identifiers=none'],
      'invalid value for --bind-agent-identifiers: "none" is not any or certificate',
    ],
    [
      ['--tls-min-version=VersionTLS11'],
      'invalid value for --tls-min-version: "VersionTLS11" is not VersionTLS12 or VersionTLS13',
    ],
    [
      ['--cipher-suites=TLS_RSA_WITH_RC4_128_SHA'],
      'invalid value for --cipher-suites: cipher suite "TLS_RSA_WITH_RC4_128_SHA" is not known or not secure',
    ],
    [
      ['--backend-dial-timeout=-1s'],
      'invalid value for --backend-dial-timeout: "-1s" is not a duration such as 10s or 1m30s',
    ],
    [
      ['--max-held-bytes=1000'],
      'invalid value for --max-held-bytes: "1000" is not a whole number from 1048576 to 1099511627776',
    ],
    [
      ['--xfr-channel-size=0'],
      'invalid value for --xfr-channel-size: "0" is not a whole number from 1 to 1000000',
    ],
    [
      ['--enable-profiling'],
      'invalid value for --enable-profiling: it is not implemented by this version: profiles are made by the flags of Node',
    ],
    [
      ['--enable-lease-controller=true'],
      'invalid value for --enable-lease-controller: it is not implemented by this version: --server-count or --server-count-from-dns tells agents how many servers there are',
    ],
    [
      ['--server-id=a b'],
      'the server ID (--server-id, PROXY_SERVER_ID) must be up to 253 visible ASCII characters',
    ],
  ])('%j', (argv, message) => {
    expect(end(...least, ...argv)).toEqual({ text: message, exitCode: 2 });
  });

  const without = (name: string) => least.filter((word) => !word.startsWith(`--${name}=`));

  test.each([
    [[], '--server-ca-cert is needed unless --uds-name is given: frontends are known by their certificates'],
    [
      without('server-ca-cert'),
      '--server-ca-cert is needed unless --uds-name is given: frontends are known by their certificates',
    ],
    [
      [...without('server-ca-cert'), '--mode=http-connect'],
      '--server-ca-cert is needed unless --uds-name is given: frontends are known by their certificates',
    ],
    [without('server-cert'), '--server-cert and --server-key are needed unless --uds-name is given'],
    [without('server-key'), '--server-cert and --server-key are needed unless --uds-name is given'],
    [['--uds-name=/run/anp.sock', ...agents], '--uds-name goes with --server-port=0'],
    ...frontend.map(
      (word) =>
        [
          [...socket, ...agents, word],
          '--server-ca-cert, --server-cert and --server-key are not for a Unix socket (--uds-name)',
        ] as [string[], string],
    ),
    [without('cluster-cert'), '--cluster-cert and --cluster-key are needed: agents connect over TLS'],
    [without('cluster-key'), '--cluster-cert and --cluster-key are needed: agents connect over TLS'],
    [
      without('cluster-ca-cert'),
      'agents must be known: by --cluster-ca-cert, or by --agent-namespace and what goes with it; --allow-unauthenticated-agents lets anyone be one',
    ],
    [
      [...least, ...tokens],
      '--cluster-ca-cert is not for agents that are known by tokens (--agent-namespace)',
    ],
    ...tokens.map(
      (word) =>
        [
          [...frontend, ...agentPair, ...tokens.filter((each) => each !== word)],
          '--agent-namespace, --agent-service-account and --authentication-audience go together',
        ] as [string[], string],
    ),
    [
      [...least, '--allow-unauthenticated-agents'],
      '--allow-unauthenticated-agents is not for agents that are known by certificates or tokens',
    ],
    [
      [...frontend, ...agentPair, ...tokens, '--allow-unauthenticated-agents'],
      '--allow-unauthenticated-agents is not for agents that are known by certificates or tokens',
    ],
    [
      [...frontend, ...agentPair, ...tokens, '--bind-agent-identifiers=certificate'],
      '--bind-agent-identifiers=certificate needs --cluster-ca-cert',
    ],
  ])('%j', (argv, message) => {
    expect(end(...argv)).toEqual({ text: message, exitCode: 2 });
  });
});

test('--help is exact', async () => {
  const { text, exitCode } = end('--help');
  expect(exitCode).toBe(0);
  await expect(text).toMatchFileSnapshot('tunnel-server-help.txt');
});
