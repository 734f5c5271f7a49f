import type { Row } from '../row.ts';
import { exec } from './exec.ts';
import { idleWatches } from './idle-watches.ts';
import { largeLists, smallLists } from './lists.ts';
import { manyClusters } from './many-clusters.ts';
import { newConnections } from './new-connections.ts';
import { posts } from './posts.ts';
import { smallGet } from './small-get.ts';
import { tunnelAgents } from './tunnel-agents.ts';
import { tunnelDials } from './tunnel-dials.ts';
import { tunnelGet } from './tunnel-get.ts';
import { tunnelLists } from './tunnel-lists.ts';

/** By number. */
export const rows: readonly Row[] = [
  smallGet,
  tunnelGet,
  tunnelLists,
  smallLists,
  largeLists,
  posts,
  idleWatches,
  exec,
  newConnections,
  ...manyClusters,
  tunnelDials,
  tunnelAgents,
];
