import { setTimeout as sleep } from 'node:timers/promises';

import {
  connectRawHttp2,
  frameTypes,
  headerBlock,
  resetStream,
} from '../../src/apiserver/testing/raw-http2-client.ts';
import { frame } from '../../src/net/testing/http2-frames.ts';
import type { HeaderPair } from './fuzz-case.ts';

export interface Http2Shape {
  readonly name: string;
  /** Lines of a request whose `:path` is the given one. */
  readonly lines: (path: string) => readonly HeaderPair[];
  /** DATA behind the head, with the end of the stream; undefined: the head ends it. */
  readonly data?: string;
  /** The stream is reset instead of ended. */
  readonly reset?: boolean;
}

const pseudo = (path: string): readonly HeaderPair[] => [
  [':method', 'POST'],
  [':scheme', 'https'],
  [':authority', 'fuzz.test'],
  [':path', path],
];
const withLines =
  (...lines: readonly HeaderPair[]) =>
  (path: string): readonly HeaderPair[] => [...pseudo(path), ...lines];

/** Requests that are malformed (RFC 9113 8.1.1), or given up: none of them may come to a target as a whole one. */
export const http2Shapes: readonly Http2Shape[] = [
  ...[':method', ':scheme', ':path'].map((missing) => ({
    name: `no ${missing}`,
    lines: (path: string) => pseudo(path).filter(([name]) => name !== missing),
  })),
  { name: 'two paths', lines: (path) => [...pseudo(path), [':path', '/other']] },
  { name: 'two methods', lines: (path) => [[':method', 'GET'], ...pseudo(path)] },
  { name: 'a pseudo header behind others', lines: (path) => [['x-a', '1'], ...pseudo(path)] },
  { name: 'an unknown pseudo header', lines: withLines([':x', '1']) },
  { name: 'a name in capitals', lines: withLines(['X-A', '1']) },
  { name: 'connection', lines: withLines(['connection', 'x-a']) },
  { name: 'transfer-encoding', lines: withLines(['transfer-encoding', 'chunked']), data: '0\r\n\r\n' },
  { name: 'a line feed in a value', lines: withLines(['x-a', 'a\nx-remote-user: b']) },
  { name: 'te other than trailers', lines: withLines(['te', 'gzip']) },
  { name: 'a length that is too large', lines: withLines(['content-length', '10']), data: 'abc' },
  { name: 'a length that is too small', lines: withLines(['content-length', '1']), data: 'abc' },
  { name: 'a reset half way', lines: withLines(['content-length', '10']), data: 'abc', reset: true },
];

/** Sends a shape on a connection of its own, as the bearer of the token. */
export async function sendShape(
  shape: Http2Shape,
  to: { port: number; path: string; token: string },
): Promise<void> {
  const client = await connectRawHttp2({ port: to.port });
  const lines = [...shape.lines(to.path), ['authorization', `Bearer ${to.token}`] as const];
  const isOpen = shape.data !== undefined;
  const head = frame(frameTypes.headers, isOpen ? 4 : 5, { stream: 1, payload: headerBlock(lines) });
  const data = isOpen
    ? [frame(frameTypes.data, shape.reset === true ? 0 : 1, { stream: 1, payload: Buffer.from(shape.data) })]
    : [];
  await client.send(head, ...data, ...(shape.reset === true ? [resetStream(1)] : []));
  await sleep(100);
  client.close();
}
