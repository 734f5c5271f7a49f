import type { Row } from '../row.ts';
import { exec } from './exec.ts';
import { idleWatches } from './idle-watches.ts';
import { largeLists, smallLists } from './lists.ts';
import { manyClusters } from './many-clusters.ts';
import { newConnections } from './new-connections.ts';
import { posts } from './posts.ts';
import { smallGet } from './small-get.ts';

/** By number. The row of the tunnel, 2, comes with the tunnel. */
export const rows: readonly Row[] = [
  smallGet,
  smallLists,
  largeLists,
  posts,
  idleWatches,
  exec,
  newConnections,
  ...manyClusters,
];
