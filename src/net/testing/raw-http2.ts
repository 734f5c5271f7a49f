import { createServer } from 'node:tls';
import type { Server, TLSSocket } from 'node:tls';
import { testPki } from './certificates.ts';
import { frame, uint32 } from './http2-frames.ts';
import { listen } from './servers.ts';
import type { TestServer } from './servers.ts';

export const frames = {
  settings: frame(4, 0),
  settingsAck: frame(4, 1),
  /** `:status: 200`, from the static table of HPACK. */
  ok: (stream: number) => frame(1, 4, { stream, payload: Buffer.from([0x88]) }),
  data: (stream: number, text: string, last = false) =>
    frame(0, last ? 1 : 0, { stream, payload: Buffer.from(text) }),
  reset: (stream: number, code: number) => frame(3, 0, { stream, payload: uint32(code) }),
  goaway: (lastStream: number, code: number) =>
    frame(7, 0, { payload: Buffer.concat([uint32(lastStream), uint32(code)]) }),
};

/**
 * A server that does what Node's would not: it sends SETTINGS, and then for each stream of a connection (they count
 * 1, 3, 5 …) whatever `onStream` writes.
 */
export async function startRawHttp2(
  onStream: (socket: TLSSocket, stream: number) => void,
): Promise<TestServer<Server>> {
  const { server: identity } = await testPki();
  const server = createServer(
    { key: identity.privateKeyPem, cert: identity.certificatePem, ALPNProtocols: ['h2'] },
    (socket) => {
      socket.on('error', () => undefined);
      socket.write(Buffer.concat([frames.settings, frames.settingsAck]));
      let received = Buffer.alloc(0);
      // The client's preface is 24 bytes.
      let at = 24;
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        while (received.length >= at + 9 && received.length >= at + 9 + received.readUIntBE(at, 3)) {
          const type = received.readUInt8(at + 3);
          const stream = received.readUInt32BE(at + 5);
          at += 9 + received.readUIntBE(at, 3);
          if (type === 1) onStream(socket, stream);
        }
      });
    },
  );
  return listen(server);
}
