#!/usr/bin/env node
import './v8-flags.ts';
import { FlagsEnd } from '../app/flag-set.ts';

const usage = `cluster-gateway <role> [flags]

Roles:
  apiserver       the gateway: an aggregated API server of the hub (default)
  tunnel-server   carries connections to clusters whose agents connect to it (konnectivity)
  agent           connects a cluster to tunnel servers

cluster-gateway <role> --help lists a role's flags.
`;

// Each role loads its own code, and not that of the others.
const roles: Readonly<Record<string, (argv: readonly string[]) => Promise<number>>> = {
  apiserver: async (argv) => {
    const { parseGatewayFlags } = await import('../app/gateway-flags.ts');
    const options = parseGatewayFlags(argv);
    const { runGateway } = await import('../app/run-gateway.ts');
    return runGateway(options);
  },
  'tunnel-server': async (argv) => {
    const { parseTunnelServerFlags } = await import('../app/tunnel-server-flags.ts');
    const options = parseTunnelServerFlags(argv, process.env);
    const { runTunnelServer } = await import('../app/run-tunnel-server.ts');
    return runTunnelServer(options);
  },
  agent: async (argv) => {
    const { parseAgentFlags } = await import('../app/agent-options.ts');
    const options = parseAgentFlags(argv, process.env);
    const { runAgent } = await import('../app/run-agent.ts');
    return runAgent(options);
  },
};

/** argv → role → exit code. Flags without a role are the gateway's, as the Go image's are. */
async function main(argv: readonly string[]): Promise<number> {
  const [first = '', ...rest] = argv;
  if (first === 'help' || first === '--help' || first === '-h') {
    process.stdout.write(usage);
    return 0;
  }
  const isNamed = first !== '' && !first.startsWith('-');
  const role = isNamed ? first : 'apiserver';
  const run = Object.hasOwn(roles, role) ? roles[role] : undefined;
  if (!run) {
    process.stderr.write(`unknown role ${JSON.stringify(first)}\n\n${usage}`);
    return 2;
  }
  return run(isNamed ? rest : argv);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof FlagsEnd)) throw error;
  (error.exitCode === 0 ? process.stdout : process.stderr).write(`${error.message.trimEnd()}\n`);
  process.exitCode = error.exitCode;
}
