#!/usr/bin/env node
import './v8-flags.ts';
import { FlagsEnd, parseGatewayFlags } from '../app/gateway-flags.ts';
import { runGateway } from '../app/run-gateway.ts';

const usage = `cluster-gateway <role> [flags]

Roles:
  apiserver   the gateway: an aggregated API server of the hub (default)

cluster-gateway <role> --help lists a role's flags.
`;

/** argv → role → exit code. Flags without a role are the gateway's, as the Go image's are. */
async function main(argv: readonly string[]): Promise<number> {
  const [first = ''] = argv;
  if (first === 'help' || first === '--help' || first === '-h') {
    process.stdout.write(usage);
    return 0;
  }
  if (first !== '' && !first.startsWith('-') && first !== 'apiserver') {
    process.stderr.write(`unknown role ${JSON.stringify(first)}\n\n${usage}`);
    return 2;
  }
  return runGateway(parseGatewayFlags(argv));
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof FlagsEnd)) throw error;
  (error.exitCode === 0 ? process.stdout : process.stderr).write(`${error.message.trimEnd()}\n`);
  process.exitCode = error.exitCode;
}
