import type { Duplex } from 'node:stream';
import { Failure } from '../base/failure.ts';
import { Http1Exchange } from './http1-exchange.ts';
import type { OutgoingRequest, UpgradeResponse } from './transport.ts';

/**
 * Sends one HTTP/1.1 request on a connection of its own. 101 hands the connection over; after any other answer it is
 * closed (CVE-2018-1002105: a refused upgrade must leave nothing that bytes could be sent on).
 */
export function upgradeOn(socket: Duplex, request: OutgoingRequest): Promise<UpgradeResponse> {
  return new Promise((resolve, reject) => {
    new Http1Exchange(
      request,
      { socket },
      {
        reject,
        resolve: (response) => {
          if (response.status !== 101) {
            resolve({ type: 'refused', response });
            return;
          }
          // Without `Connection: Upgrade` Node takes a 101 for an answer like others: it is none.
          response.body.on('error', () => undefined);
          response.body.destroy();
          reject(new Failure('reset', 'malformed answer to an upgrade: 101 without Upgrade', { sent: true }));
        },
        onUpgrade: (response, upgraded, head) => {
          const onAbort = () => upgraded.destroy();
          request.signal.addEventListener('abort', onAbort);
          upgraded.once('close', () => request.signal.removeEventListener('abort', onAbort));
          // Between here and the caller's own listener an error must not end the process.
          upgraded.on('error', () => undefined);
          resolve({ type: 'upgraded', status: 101, headers: response.rawHeaders, socket: upgraded, head });
        },
      },
    );
  });
}
