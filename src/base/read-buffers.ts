import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Bytes that are read between two collections of the young generation, at the most. */
const mostBytes = 16 * 1024 * 1024;

type Collect = (options: { readonly type: 'minor' }) => void;

let collect: Collect | undefined;
let bytes = 0;

function exposed(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}

/**
 * To be told of all that sockets bring. Node makes a buffer outside of V8's heap for each piece, and next to nothing inside
 * of it, so that the young generation, where they end, is hardly ever full; after 64 MiB of them V8 looks through the
 * whole heap instead, several times a second when a large list passes. A collection of the young generation alone takes a
 * millisecond, and gives all of them back.
 */
export function countRead(length: number): void {
  bytes += length;
  if (bytes < mostBytes) return;
  bytes = 0;
  collect ??= exposed();
  collect({ type: 'minor' });
}
