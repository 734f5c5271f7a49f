import { ensureSystem } from '../kube/debian.ts';
import type { Island } from './islands.ts';

/** What gets lost on the way between the agent and the tunnel's server. */
export interface Loss {
  /** Percent of the packets that the agent sends, and of those that the server sends. */
  readonly toServer?: number;
  readonly toAgent?: number;
}

const table = 'loss';

/**
 * Has packets between agent and server vanish, behind the interface of whoever they are for: nobody is told, and no
 * interface is down. Replaces what was lost before; `{}` ends it. Needs root.
 * @example await losePackets(island, { toServer: 100 });
 */
export async function losePackets(
  { inside, between }: Pick<Island, 'inside' | 'between'>,
  { toServer = 0, toAgent = 0 }: Loss,
): Promise<void> {
  const missing = await ensureSystem([{ file: 'nft', package: 'nftables' }]);
  if (missing !== undefined) throw new Error(missing);
  for (const [namespace, percent] of [
    [between, toServer],
    [inside, toAgent],
  ] as const) {
    const nft = (...words: readonly string[]) => namespace.run('nft', ...words);
    await nft('add', 'table', 'inet', table);
    await nft('delete', 'table', 'inet', table);
    if (percent === 0) continue;
    await nft('add', 'table', 'inet', table);
    const hook = '{ type filter hook prerouting priority -300; policy accept; }';
    await nft('add', 'chain', 'inet', table, 'arriving', hook);
    const some = percent >= 100 ? '' : `numgen random mod 100 < ${percent}`;
    await nft('add', 'rule', 'inet', table, 'arriving', `iifname "tunnel" ${some} counter drop`);
  }
}

/** Packets that were lost since the present loss began, both ways. */
export async function lostPackets({ inside, between }: Pick<Island, 'inside' | 'between'>): Promise<number> {
  const texts = await Promise.all(
    [inside, between].map((namespace) =>
      namespace.run('nft', 'list', 'table', 'inet', table).catch(() => ''),
    ),
  );
  return texts.reduce((sum, text) => sum + Number(/counter packets (\d+)/.exec(text)?.[1] ?? 0), 0);
}
