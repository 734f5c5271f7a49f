import { randomUUID } from 'node:crypto';
import type { ListenAddress } from '../tunnel/stream-listener.ts';
import { FlagsEnd, defaulted, parseFlags } from './flag-set.ts';
import type { FlagValues } from './flag-set.ts';
import { tunnelServerFlags } from './tunnel-server-flag-table.ts';
import type {
  AgentTokenOptions,
  PortCertificateFiles,
  TunnelServerRoleOptions,
} from './tunnel-server-options.ts';

type Parsed = FlagValues<typeof tunnelServerFlags>;

/** Reads the command line of `cluster-gateway tunnel-server`; throws FlagsEnd for `--help` and for what is wrong. */
export function parseTunnelServerFlags(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): TunnelServerRoleOptions {
  const flags = parseFlags(
    {
      name: 'cluster-gateway tunnel-server',
      description:
        'Carries connections of frontends, such as the gateway, to clusters through the agents that connect from there. It speaks the protocol of konnectivity (apiserver-network-proxy).',
      flags: tunnelServerFlags,
    },
    argv,
  );
  const wrong = frontendProblem(flags) ?? agentProblem(flags);
  if (wrong !== undefined) throw new FlagsEnd(wrong, 2);
  return {
    serverId: serverIdFrom(flags, environment),
    serverCount: serverCountFrom(flags),
    strategies: defaulted(flags['proxy-strategies']),
    ...portsFrom(flags),
    agentTokens: agentTokensFrom(flags),
    kubeconfig: flags.kubeconfig,
    identifierRule: defaulted(flags['bind-agent-identifiers']),
    tlsMinVersion: defaulted(flags['tls-min-version']),
    tlsCipherSuites: flags['cipher-suites'] ?? [],
    dialTimeoutMs: defaulted(flags['backend-dial-timeout']),
    keepaliveMs: defaulted(flags['keepalive-time']),
    frontendKeepaliveMs: defaulted(flags['frontend-keepalive-time']),
    maxPendingDials: defaulted(flags['max-pending-dials']),
    maxHeldBytes: defaulted(flags['max-held-bytes']),
    shutdownGraceMs: defaulted(flags['graceful-shutdown-timeout']),
    health: { host: defaulted(flags['health-bind-address']), port: defaulted(flags['health-port']) },
    admin: { host: defaulted(flags['admin-bind-address']), port: defaulted(flags['admin-port']) },
    verbosity: defaulted(flags.v),
  };
}

/** Whoever is a frontend reaches every cluster, so nobody may be one who is not known. */
function frontendProblem(flags: Parsed): string | undefined {
  const files = [flags['server-ca-cert'], flags['server-cert'], flags['server-key']];
  if (flags['uds-name'] !== undefined) {
    if (flags['server-port'] !== 0) return '--uds-name goes with --server-port=0';
    if (flags['frontend-allowed-names']?.length)
      return '--frontend-allowed-names is not for a Unix socket (--uds-name)';
    return files.every((path) => path === undefined)
      ? undefined
      : '--server-ca-cert, --server-cert and --server-key are not for a Unix socket (--uds-name)';
  }
  if (flags['server-ca-cert'] === undefined)
    return '--server-ca-cert is needed unless --uds-name is given: frontends are known by their certificates';
  return files.includes(undefined)
    ? '--server-cert and --server-key are needed unless --uds-name is given'
    : undefined;
}

function agentProblem(flags: Parsed): string | undefined {
  if (flags['cluster-cert'] === undefined || flags['cluster-key'] === undefined)
    return '--cluster-cert and --cluster-key are needed: agents connect over TLS';
  const withCertificates = flags['cluster-ca-cert'] !== undefined;
  const token = [
    ...[flags['agent-namespace'], flags['agent-service-account'], flags['authentication-audience']],
  ];
  const withTokens = token.some((part) => part !== undefined);
  if (withTokens && withCertificates)
    return '--cluster-ca-cert is not for agents that are known by tokens (--agent-namespace)';
  if (withTokens && token.includes(undefined))
    return '--agent-namespace, --agent-service-account and --authentication-audience go together';
  const open = flags['allow-unauthenticated-agents'] === true;
  if (open && (withTokens || withCertificates))
    return '--allow-unauthenticated-agents is not for agents that are known by certificates or tokens';
  if (!open && !withTokens && !withCertificates)
    return 'agents must be known: by --cluster-ca-cert, or by --agent-namespace and what goes with it; --allow-unauthenticated-agents lets anyone be one';
  if (flags['bind-agent-identifiers'] === 'certificate' && !withCertificates)
    return '--bind-agent-identifiers=certificate needs --cluster-ca-cert';
  return undefined;
}

function portsFrom(flags: Parsed): Pick<TunnelServerRoleOptions, 'frontend' | 'agents'> {
  const udsName = flags['uds-name'];
  const frontendAddress: ListenAddress =
    udsName === undefined
      ? {
          type: 'tcp',
          host: defaulted(flags['server-bind-address']),
          port: defaulted(flags['server-port']),
        }
      : { type: 'unix', path: udsName, deleteExisting: defaulted(flags['delete-existing-uds-file']) };
  const [serverCert, serverKey] = [flags['server-cert'], flags['server-key']];
  const frontendCertificates: PortCertificateFiles | undefined =
    serverCert === undefined || serverKey === undefined
      ? undefined
      : { certificateFile: serverCert, keyFile: serverKey, clientCaFile: flags['server-ca-cert'] };
  return {
    frontend: {
      mode: defaulted(flags.mode),
      address: frontendAddress,
      certificates: frontendCertificates,
      allowedNames: flags['frontend-allowed-names'] ?? [],
    },
    agents: {
      address: {
        type: 'tcp',
        host: defaulted(flags['agent-bind-address']),
        port: defaulted(flags['agent-port']),
      },
      certificates: {
        certificateFile: defaulted(flags['cluster-cert']),
        keyFile: defaulted(flags['cluster-key']),
        clientCaFile: flags['cluster-ca-cert'],
      },
    },
  };
}

function agentTokensFrom(flags: Parsed): AgentTokenOptions | undefined {
  const namespace = flags['agent-namespace'];
  if (namespace === undefined) return undefined;
  return {
    namespace,
    serviceAccount: defaulted(flags['agent-service-account']),
    audience: defaulted(flags['authentication-audience']),
  };
}

function serverIdFrom(flags: Parsed, environment: Readonly<Record<string, string | undefined>>): string {
  const id = (flags['server-id'] ?? environment.PROXY_SERVER_ID) || randomUUID();
  // It is a header of the answer to agents.
  if (!/^[\x21-\x7e]{1,253}$/.test(id))
    throw new FlagsEnd(
      'the server ID (--server-id, PROXY_SERVER_ID) must be up to 253 visible ASCII characters',
      2,
    );
  return id;
}

function serverCountFrom(flags: Parsed): TunnelServerRoleOptions['serverCount'] {
  const host = flags['server-count-from-dns'];
  return host === undefined
    ? { type: 'fixed', count: defaulted(flags['server-count']) }
    : { type: 'dns', host };
}
