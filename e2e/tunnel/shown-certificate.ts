import { connect } from 'node:tls';

import type { IssuedCertificate } from '../../src/pki/issue.ts';

export interface Greeting {
  /** Of loopback. */
  readonly port: number;
  /** PEM of the authorities that the server's certificate may be signed by. */
  readonly caPem: string;
  /** What we show. */
  readonly client: IssuedCertificate;
}

const patienceMs = 5_000;
/** What a client of HTTP/2 begins with: its preface and SETTINGS that are empty (RFC 9113 §3.4). */
const preface = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);

/**
 * Shakes hands with a port of the tunnel's server, and gives the serial number of the certificate that it shows. Rejects when
 * either side does not trust the other.
 */
export function shownSerial({ port, caPem, client }: Greeting): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...{ host: '127.0.0.1', port, ca: caPem, ALPNProtocols: ['h2'] },
      ...{ cert: client.certificatePem, key: client.privateKeyPem },
    });
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(patienceMs, () => fail(new Error('no answer in time')));
    socket.on('error', fail).once('close', () => reject(new Error('it closed the connection')));
    socket.once('secureConnect', () => socket.write(preface));
    // In TLS 1.3 a client is refused behind its own handshake: who hears a word of HTTP/2 has been let in.
    socket.once('data', () => {
      resolve(socket.getPeerX509Certificate()?.serialNumber ?? '');
      socket.destroy();
    });
  });
}
