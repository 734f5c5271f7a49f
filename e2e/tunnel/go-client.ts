import { connect } from 'node:net';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import type { Dial } from '../../src/net/dial.ts';
import { ensureGoTunnel } from '../clients/go-tunnel.ts';
import { boundToParent, mustRun } from '../worlds/process.ts';
import { until } from '../worlds/wait.ts';
import { opened } from './dial-connect.ts';
import { firstLines } from './first-lines.ts';
import type { Frontend, ServerSite } from './server.ts';

/** The official client refused a dial. */
export class GoDialFailure extends Error {
  override readonly name = 'GoDialFailure';
  /** The client's own label. */
  readonly reason: string;

  constructor(message: string, reason: string) {
    super(message);
    this.reason = reason;
  }
}

let relays = 0;

/**
 * Dials with the official client, which runs as a process of its own. Each connection has an HTTP/2 connection of its own,
 * as in kube-apiserver until 1.36, or all are streams of one (`reuse`).
 */
export async function startGoClient(
  site: ServerSite,
  frontend: Frontend,
  { reuse = false }: { reuse?: boolean } = {},
): Promise<{ readonly dial: Dial; close(): Promise<void> }> {
  relays += 1;
  const name = `go-client-${relays}`;
  const listen = join(site.directory, `${name}.sock`);
  const running = await site.processes.start({
    name,
    command: await ensureGoTunnel(),
    args: ['relay', `-listen=${listen}`, ...(reuse ? ['-reuse'] : []), ...serverFlags(frontend)],
    log: join(site.directory, `${name}.log`),
    cwd: site.directory,
  });
  const open = (signal: AbortSignal) => opened(connect(listen), { event: 'connect', signal });
  await until(
    'the Go client to listen',
    async () => {
      (await open(AbortSignal.timeout(1000))).destroy();
      return true;
    },
    { timeoutMs: 5000, check: () => mustRun(running) },
  );
  return {
    async dial({ host, port }, signal) {
      const socket = await open(signal);
      socket.write(`${host.includes(':') ? `[${host}]` : host}:${port}\n`);
      const answer = JSON.parse(await firstLines(socket, '\n', signal)) as {
        error?: string;
        reason?: string;
      };
      if (answer.error === undefined) return socket;
      socket.destroy();
      throw new GoDialFailure(answer.error, answer.reason ?? '');
    },
    async close() {
      await running.end();
    },
  };
}

/** What a check of the official client printed; see go-tunnel/checks.go. */
export interface CheckOutcome {
  readonly error: string;
  readonly reason: string;
  readonly closeError: string;
  readonly ended: boolean;
  readonly openMilliseconds: number;
  readonly bytesPerSecond: number;
  readonly milliseconds: number;
}

export interface CheckOptions {
  readonly frontend: Frontend;
  /** host:port */
  readonly target: string;
  readonly count?: number;
  readonly bytes?: number;
  /** When the context ends, where it does. */
  readonly afterMs?: number;
  readonly reuse?: boolean;
  /** Default 30 s. */
  readonly timeoutMs?: number;
}

/** Runs one check of the official client to its end. @throws Error with what it wrote on stderr */
export async function goCheck(name: string, options: CheckOptions): Promise<CheckOutcome> {
  const args = [
    ...['check', name, `-target=${options.target}`],
    ...(options.count === undefined ? [] : [`-count=${options.count}`]),
    ...(options.bytes === undefined ? [] : [`-bytes=${options.bytes}`]),
    ...(options.afterMs === undefined ? [] : [`-after=${options.afterMs}ms`]),
    ...(options.reuse === true ? ['-reuse'] : []),
    ...serverFlags(options.frontend),
  ];
  const program = await ensureGoTunnel();
  const { stdout } = await promisify(execFile)('setpriv', boundToParent(program, args), {
    timeout: options.timeoutMs ?? 30_000,
    killSignal: 'SIGKILL',
  });
  return JSON.parse(stdout) as CheckOutcome;
}

function serverFlags(frontend: Frontend): string[] {
  if (frontend.type === 'unix') return [`-unix=${frontend.path}`];
  const { port, certificates } = frontend;
  return [
    `-server=127.0.0.1:${port}`,
    `-ca=${certificates.caFile}`,
    `-cert=${certificates.clientCertificateFile}`,
    `-key=${certificates.clientKeyFile}`,
  ];
}
