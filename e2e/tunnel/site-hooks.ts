import { afterAll, afterEach, beforeAll } from 'vitest';

import { type Destinations, startDestinations } from './destinations.ts';
import { openSite, type TunnelSite } from './site.ts';

/**
 * For a `describe`: opens a site with destinations before its tests and gives them to `take`, and ends both behind them. The
 * logs are kept when a test failed, and the folder is named.
 */
export function useSite(take: (site: TunnelSite, destinations: Destinations) => void): void {
  let site: TunnelSite;
  let destinations: Destinations;
  let failed = false;
  beforeAll(async () => {
    site = await openSite();
    destinations = await startDestinations();
    take(site, destinations);
  });
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail';
  });
  afterAll(async () => {
    await destinations.close();
    await site.end({ keep: failed });
    if (failed) process.stderr.write(`logs of the tunnels are kept in ${site.directory}\n`);
  });
}
