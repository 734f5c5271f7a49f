import type { Duplex } from 'node:stream';
import { Failure } from '../base/failure.ts';
import { abortFailure, connectionFailure } from './node-errors.ts';

export interface ReplyOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** Most bytes a reply may have. */
  readonly maxBytes: number;
  /** Who answers, for messages. */
  readonly name: string;
}

/**
 * Says how many bytes at the start of `received` are the reply, or undefined while it is not whole.
 * May throw a `Failure`.
 */
export type ReplyEnd = (received: Buffer) => number | undefined;

/**
 * Reads one reply of a proxy, bounded in size and time, and leaves in the stream what follows it. Rejects with a
 * `Failure`, having destroyed the stream.
 */
export function readReply(stream: Duplex, end: ReplyEnd, options: ReplyOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const settle = () => {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', onAbort);
      stream.off('readable', onReadable).off('error', onError).off('end', onEnd).off('close', onEnd);
    };
    const fail = (failure: Failure) => {
      settle();
      stream.on('error', () => undefined);
      stream.destroy();
      reject(failure);
    };
    const onReadable = () => {
      for (let chunk = readChunk(stream); chunk; chunk = readChunk(stream)) {
        received = Buffer.concat([received, chunk]);
        try {
          const length = end(received);
          if (length !== undefined && length <= received.length) {
            settle();
            if (length < received.length) stream.unshift(received.subarray(length));
            resolve(received.subarray(0, length));
            return;
          }
        } catch (error) {
          fail(connectionFailure(error, false));
          return;
        }
        if (received.length >= options.maxBytes) {
          fail(new Failure('refused', `the answer of ${options.name} is too large`));
          return;
        }
      }
    };
    const onError = (error: Error) => fail(connectionFailure(error, false));
    const onEnd = () => fail(new Failure('refused', `${options.name} closed the connection: EOF`));
    const onAbort = () => fail(abortFailure(options.signal));
    const timer = setTimeout(() => {
      fail(new Failure('timeout', `${options.name} did not answer: i/o timeout`));
    }, options.timeoutMs);
    if (options.signal.aborted) {
      onAbort();
      return;
    }
    options.signal.addEventListener('abort', onAbort);
    stream.on('readable', onReadable).on('error', onError).on('end', onEnd).on('close', onEnd);
  });
}

function readChunk(stream: Duplex): Buffer | null {
  return stream.read() as Buffer | null;
}
