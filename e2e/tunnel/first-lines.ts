import type { Duplex } from 'node:stream';

const mostBytes = 16 * 1024;

/** Reads up to an end mark, which is left out; what follows it stays in the stream. Rejects when the stream ends before. */
export function firstLines(stream: Duplex, mark: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let read = Buffer.alloc(0);
    const settle = (): void => {
      stream.removeListener('readable', onReadable);
      stream.removeListener('end', onEnd);
      stream.removeListener('close', onEnd);
      stream.removeListener('error', fail);
      signal.removeEventListener('abort', onAbort);
    };
    const fail = (error: unknown): void => {
      settle();
      stream.destroy();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const onAbort = (): void => fail(signal.reason);
    const onEnd = (): void => fail(new Error(`the stream ended after ${JSON.stringify(read.toString())}`));
    const onReadable = (): void => {
      for (let chunk = next(stream); chunk !== null; chunk = next(stream)) {
        read = Buffer.concat([read, chunk]);
        const at = read.indexOf(mark);
        if (at >= 0) {
          settle();
          const behind = read.subarray(at + mark.length);
          if (behind.length > 0) stream.unshift(behind);
          resolve(read.subarray(0, at).toString());
          return;
        }
        if (read.length > mostBytes) {
          fail(new Error('no end mark'));
          return;
        }
      }
    };
    if (signal.aborted) {
      fail(signal.reason);
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    stream.on('error', fail);
    stream.on('end', onEnd);
    stream.on('close', onEnd);
    stream.on('readable', onReadable);
    onReadable();
  });
}

function next(stream: Duplex): Buffer | null {
  return stream.read() as Buffer | null;
}
