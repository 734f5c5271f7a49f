import type { Duplex } from 'node:stream';
import { Failure } from '../base/failure.ts';
import { abortFailure, tlsFailure } from './node-errors.ts';

/** Told whether the peer speaks HTTP/2 at all: its first SETTINGS, or the end of the connection before them. */
export interface FirstListener {
  readonly settings: () => void;
  readonly close: (error: Error | undefined) => void;
}

/**
 * Begins HTTP/2 on a connected byte stream, and resolves when the peer's SETTINGS are there: only then its stream limit is
 * known, and that there is anybody (a TLS 1.3 server refuses our certificate after the handshake). Rejects with a
 * `Failure`, having destroyed the stream.
 */
export function untilFirstSettings<T>(
  socket: Duplex,
  { settingsTimeoutMs, signal }: { readonly settingsTimeoutMs: number; readonly signal: AbortSignal },
  begin: (onFirst: FirstListener) => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      socket.on('error', () => undefined);
      socket.destroy();
      reject(abortFailure(signal));
      return;
    }
    const fail = (failure: Failure) => {
      settle();
      socket.destroy();
      reject(failure);
    };
    const onAbort = () => fail(abortFailure(signal));
    const timer = setTimeout(
      () => fail(new Failure('timeout', 'http2: timeout awaiting SETTINGS')),
      settingsTimeoutMs,
    );
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    signal.addEventListener('abort', onAbort);
    const connection = begin({
      settings: () => {
        settle();
        resolve(connection);
      },
      close: (error) => {
        const text = 'http2: connection closed before SETTINGS';
        fail(error ? tlsFailure(error) : new Failure('unreachable', text));
      },
    });
  });
}
