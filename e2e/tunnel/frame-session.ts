import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { constants } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';

import { frames, ScriptedPeer } from '../../src/http2/testing/scripted-peer.ts';
import { encodePacket } from '../../src/tunnel/packet-codec.ts';
import { PacketReader } from '../../src/tunnel/packet-reader.ts';
import type { Packet } from '../../src/tunnel/packet.ts';
import { until } from '../worlds/wait.ts';
import type { Frontend } from './server.ts';

/**
 * A frontend that writes its frames itself: Node's own client ends a stream before it resets it, which is no reset to a
 * server, and is slower than what a server must stand.
 */
export interface FrameSession {
  /** Names of the errors in GOAWAY that came. */
  goaways(): string[];
  /**
   * Opens so many streams, one after the other, and cuts each by RST_STREAM; with a target behind its dial. Ends before when
   * the server has sent it away.
   */
  reset(options: { readonly count: number; readonly target?: string }): Promise<void>;
  /** Dials an echo and gives back what it says. */
  echo(target: string, text: string): Promise<string>;
  destroy(): void;
}

/** Streams that are opened and cut in one write. */
const atOnce = 100;
const lines = [
  ...[':method', 'POST', ':scheme', 'https', ':authority', 'server', ':path', '/ProxyService/Proxy'],
  ...['content-type', 'application/grpc', 'te', 'trailers'],
];

export async function openFrameSession(frontend: Frontend): Promise<FrameSession> {
  const socket = await openSocket(frontend);
  const peer = new ScriptedPeer(socket, { isClient: true });
  let streamId = -1;
  peer.send(frames.settings(), frames.settingsAck());
  const goaways = (): string[] => peer.goaways().map(({ code }) => code);
  const opening = (target?: string): Buffer[] => {
    streamId += 2;
    return [
      frames.headers(streamId, lines),
      ...(target === undefined ? [] : [frames.data(streamId, encodePacket(dialOf(target, streamId)))]),
    ];
  };
  return {
    goaways,
    async reset({ count, target }) {
      for (let at = 0; at < count && !socket.destroyed && goaways().length === 0; at += atOnce) {
        const streams = Array.from({ length: atOnce }, () => [
          ...opening(target),
          frames.reset(streamId, constants.NGHTTP2_CANCEL),
        ]);
        if (!socket.write(Buffer.concat(streams.flat())))
          await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => undefined);
        await new Promise(setImmediate);
      }
    },
    async echo(target, text) {
      peer.send(...opening(target));
      const id = streamId;
      const answer = await until('the answer', () => Promise.resolve(answerIn(peer.body(id))), {
        timeoutMs: 20_000,
      });
      if (answer.error !== '') throw new Error(answer.error);
      const { connectId } = answer;
      peer.send(
        frames.data(id, encodePacket({ type: 'DATA', connectId, error: '', data: Buffer.from(text) })),
      );
      const said = async (): Promise<string | undefined> => {
        const all = dataIn(peer.body(id)).toString();
        return Promise.resolve(all.length >= text.length ? all : undefined);
      };
      return until('the echo', said, { timeoutMs: 20_000 });
    },
    destroy: () => void socket.destroy(),
  };
}

const dialOf = (address: string, streamId: number): Packet => ({
  ...{ type: 'DIAL_REQ', protocol: 'tcp', address, dialId: BigInt(streamId) },
});

function answerIn(body: Buffer): Extract<Packet, { type: 'DIAL_RSP' }> | undefined {
  let answer: Extract<Packet, { type: 'DIAL_RSP' }> | undefined;
  const packet = (each: Packet): void => {
    if (each.type === 'DIAL_RSP') answer = each;
  };
  new PacketReader({ packet, data: () => undefined }).read(body);
  return answer;
}

function dataIn(body: Buffer): Buffer {
  const pieces: Buffer[] = [];
  new PacketReader({ packet: () => undefined, data: (_, piece) => pieces.push(piece) }).read(body);
  return Buffer.concat(pieces);
}

async function openSocket(frontend: Frontend): Promise<Duplex> {
  if (frontend.type === 'unix') {
    const socket = connectTcp(frontend.path);
    await once(socket, 'connect');
    return socket;
  }
  const { caFile, clientCertificateFile, clientKeyFile } = frontend.certificates;
  const [ca, cert, key] = await Promise.all([
    readFile(caFile),
    readFile(clientCertificateFile),
    readFile(clientKeyFile),
  ]);
  const where = { host: '127.0.0.1', port: frontend.port, ALPNProtocols: ['h2'] };
  const socket = connectTls({ ...where, ca, cert, key });
  await once(socket, 'secureConnect');
  return socket;
}
