import { connect } from 'node:net';
import type { LookupFunction, Socket } from 'node:net';
import { Failure } from '../base/failure.ts';
import { guardLiterals, guardedLookup } from './address-guard.ts';
import type { AddressGuard } from './address-guard.ts';
import type { Address, Dial } from './dial.ts';
import { abortFailure, dialFailure, hostPort } from './node-errors.ts';

export interface TcpDialOptions {
  /** How long name resolution and connect may take together: 30 s unless said, as in Go's default transport. */
  readonly timeoutMs?: number;
  /** Resolves names: Node's own unless said. */
  readonly lookup?: LookupFunction;
  /** Addresses that it denies are not connected to, whatever name leads there; default: all are allowed. */
  readonly guard?: AddressGuard | undefined;
}

/** Direct TCP: no Nagle, keep-alive probes, the address families raced as Node does (RFC 8305). */
export function createTcpDial({ guard, ...rest }: TcpDialOptions = {}): Dial {
  if (guard)
    return guardLiterals(guard, createTcpDial({ ...rest, lookup: guardedLookup(guard, rest.lookup) }));
  const options = rest;
  return (address, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(abortFailure(signal));
        return;
      }
      openSocket({ address, signal, options, resolve, reject });
    });
}

interface Attempt {
  readonly address: Address;
  readonly signal: AbortSignal;
  readonly options: TcpDialOptions;
  readonly resolve: (socket: Socket) => void;
  readonly reject: (failure: Failure) => void;
}

function openSocket({ address, signal, options, resolve, reject }: Attempt): void {
  const socket = connect({
    host: address.host,
    port: address.port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
    ...(options.lookup && { lookup: options.lookup }),
  });
  const onConnect = () => {
    settle();
    resolve(socket);
  };
  const fail = (failure: Failure) => {
    settle();
    // A late error of a socket that is being destroyed has nobody to hear it.
    socket.on('error', () => undefined);
    socket.destroy();
    reject(failure);
  };
  const onError = (error: Error) => fail(error instanceof Failure ? error : dialFailure(error, address));
  const onAbort = () => fail(abortFailure(signal));
  const timer = setTimeout(() => {
    fail(new Failure('timeout', `dial tcp ${hostPort(address)}: i/o timeout`));
  }, options.timeoutMs ?? 30_000);
  const settle = () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    socket.off('connect', onConnect).off('error', onError);
  };
  signal.addEventListener('abort', onAbort);
  socket.on('connect', onConnect).on('error', onError);
}
