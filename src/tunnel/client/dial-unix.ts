import { connect } from 'node:net';
import { Failure } from '../../base/failure.ts';
import type { Dial } from '../../net/dial.ts';
import { abortFailure, codeOf } from '../../net/node-errors.ts';

const texts: Record<string, string> = {
  ENOENT: 'connect: no such file or directory',
  ECONNREFUSED: 'connect: connection refused',
  EACCES: 'connect: permission denied',
};

/** To a Unix socket, whatever address is asked for. Its path is in no failure's message, which callers see. */
export function createUnixDial(path: string): Dial {
  return (_, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(abortFailure(signal));
        return;
      }
      const socket = connect({ path });
      const fail = (failure: Failure) => {
        settle();
        socket.on('error', () => undefined);
        socket.destroy();
        reject(failure);
      };
      const onConnect = () => {
        settle();
        resolve(socket);
      };
      const onError = (error: Error) => {
        const text = texts[codeOf(error)] ?? `connect: ${codeOf(error)}`;
        fail(new Failure('unreachable', `dial unix: ${text}`, { cause: error }));
      };
      const onAbort = () => fail(abortFailure(signal));
      const settle = () => {
        signal.removeEventListener('abort', onAbort);
        socket.off('connect', onConnect).off('error', onError);
      };
      signal.addEventListener('abort', onAbort);
      socket.on('connect', onConnect).on('error', onError);
    });
}
