import { Duplex } from 'node:stream';
import { createTcpDial } from '../dial-tcp.ts';
import type { Dial } from '../dial.ts';

/** A byte stream that is no net.Socket, as those of a tunnel are: nothing of Node's native short cuts works on it. */
export function throughDuplex(raw: Duplex): Duplex {
  const stream = new Duplex({
    read: () => raw.resume(),
    write: (chunk, _encoding, done) => void raw.write(chunk as Buffer, done),
    final: (done) => void raw.end(done),
    destroy: (error, done) => {
      raw.destroy();
      done(error);
    },
  });
  raw.on('data', (chunk) => {
    if (!stream.push(chunk)) raw.pause();
  });
  raw.on('end', () => stream.push(null));
  raw.on('error', (error) => stream.destroy(error));
  raw.on('close', () => stream.destroy());
  return stream;
}

/** Direct TCP that gives streams which are no sockets. */
export function createTunnelLikeDial(): Dial {
  const dial = createTcpDial();
  return async (address, signal) => throughDuplex(await dial(address, signal));
}
