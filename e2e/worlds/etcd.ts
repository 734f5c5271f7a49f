import { get } from 'node:http';
import { join } from 'node:path';

import { mustRun, type ProcessGroup } from './process.ts';
import { until } from './wait.ts';

export interface EtcdOptions {
  readonly binary: string;
  /** Folder of the world. */
  readonly directory: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly processes: ProcessGroup;
  /** Path of a Unix socket by which we reach it, where it runs in a network of its own. */
  readonly socketPath?: string;
}

/** Starts one etcd for all clusters of a world (each has its own key prefix) and waits until it serves. */
export async function startEtcd(options: EtcdOptions): Promise<void> {
  const client = `http://127.0.0.1:${options.clientPort}`;
  const peer = `http://127.0.0.1:${options.peerPort}`;
  const etcd = await options.processes.start({
    name: 'etcd',
    command: options.binary,
    args: [
      ...['--name', 'e', '--data-dir', join(options.directory, 'etcd')],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...[
        '--listen-peer-urls',
        peer,
        '--initial-advertise-peer-urls',
        peer,
        '--initial-cluster',
        `e=${peer}`,
      ],
      // A single member waits for its own election: 1 s with the defaults, 0.1 s so.
      ...['--heartbeat-interval', '20', '--election-timeout', '200'],
      // The data are thrown away with the world.
      '--unsafe-no-fsync',
      ...['--log-level', 'warn'],
    ],
    log: join(options.directory, 'etcd.log'),
    cwd: options.directory,
  });
  await until('etcd to serve', () => healthy(`${client}/health`, options.socketPath), {
    timeoutMs: 20_000,
    intervalMs: 20,
    check: () => mustRun(etcd),
  });
}

function healthy(url: string, socketPath: string | undefined): Promise<true | undefined> {
  return new Promise((resolve) => {
    const options = { timeout: 1000, ...(socketPath === undefined ? {} : { socketPath }) };
    const request = get(url, options, (response) => {
      response.resume();
      resolve(response.statusCode === 200 ? true : undefined);
    });
    request.once('error', () => resolve(undefined)).once('timeout', () => request.destroy());
  });
}
