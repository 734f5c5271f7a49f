import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { createProcessGroup, type ProcessGroup } from '../worlds/process.ts';
import { removeCgroups } from '../worlds/cgroups.ts';
import { claimWorld, releaseWorld, removeLeftovers, type WorldRecord } from '../worlds/record.ts';
import { issueTunnelCertificates, type TunnelCertificates } from './certificates.ts';

/** Where the programs of a tunnel run: a folder, the certificates in it, and the processes that end with it. */
export interface TunnelSite {
  readonly directory: string;
  readonly certificates: TunnelCertificates;
  readonly processes: ProcessGroup;
  readonly record: WorldRecord;
  /** Kills all processes and removes the folder; `keep` leaves the folder, for its logs. */
  end(options?: { keep?: boolean }): Promise<void>;
}

/**
 * Makes a folder that a later world removes when we are killed before we can. `addresses` are those of servers, beside
 * loopback.
 */
export async function openSite(addresses: readonly string[] = []): Promise<TunnelSite> {
  await removeLeftovers();
  const record = await claimWorld();
  const { directory } = record;
  const processes = createProcessGroup(directory);
  return {
    directory,
    certificates: await issueTunnelCertificates(join(directory, 'certificates'), addresses),
    processes,
    record,
    async end({ keep = false } = {}) {
      await processes.endAll();
      await removeCgroups(record.cgroup);
      if (!keep) await rm(directory, { recursive: true, force: true });
      await releaseWorld(record);
    },
  };
}

/**
 * Free TCP ports of 127.0.0.1 that the Go server accepts: it refuses the ephemeral ones, and so nobody else gets one of
 * these by chance.
 */
export async function fixedPorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (!ports.has(port) && (await isFree(port))) ports.add(port);
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
