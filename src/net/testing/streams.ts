import { constants } from 'node:http2';
import type { Http2SecureServer, ServerHttp2Stream } from 'node:http2';
import { Failure } from '../../base/failure.ts';

/** The Failure that a promise rejects with; anything else fails the test. */
export async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  const error: unknown = await promise.then(
    () => new Error('it worked'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Failure)) throw error;
  return error;
}

export interface StreamCounts {
  /** Streams open now. */
  readonly open: () => number;
  /** Most streams that one session ever had open at once. */
  readonly mostOnOne: () => number;
  readonly total: () => number;
  /** The RST_STREAM codes of streams that did not end well, in order. */
  readonly resets: readonly number[];
}

/** Counts a server's streams as the peer's limit does: until they are closed. */
export function countStreams(server: Http2SecureServer): StreamCounts {
  const bySession = new Map<unknown, number>();
  const resets: number[] = [];
  let open = 0;
  let most = 0;
  let total = 0;
  server.on('stream', (stream) => {
    const { session } = stream;
    const here = (bySession.get(session) ?? 0) + 1;
    bySession.set(session, here);
    most = Math.max(most, here);
    open += 1;
    total += 1;
    stream.on('close', () => {
      bySession.set(session, (bySession.get(session) ?? 0) - 1);
      open -= 1;
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) resets.push(stream.rstCode);
    });
  });
  return { open: () => open, mostOnOne: () => most, total: () => total, resets };
}

/** Answers 200 and writes what is asked for with `/bytes/N`, with back-pressure. */
export function writeBytes(stream: ServerHttp2Stream, count: number): void {
  const chunk = Buffer.alloc(65_536, 7);
  let left = count;
  const more = () => {
    while (left > 0 && !stream.destroyed) {
      const part = chunk.subarray(0, Math.min(left, chunk.length));
      left -= part.length;
      if (!stream.write(part)) {
        stream.once('drain', more);
        return;
      }
    }
    if (left === 0) stream.end();
  };
  more();
}
