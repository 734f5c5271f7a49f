import type { Row } from '../row.ts';
import { smallGet } from './small-get.ts';

/** By number. The row of the tunnel, 2, comes with the tunnel. */
export const rows: readonly Row[] = [smallGet];
