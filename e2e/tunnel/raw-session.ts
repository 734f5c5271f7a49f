import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { connect as connectTcp } from 'node:net';

import { encodePacket } from '../../src/tunnel/packet-codec.ts';
import { PacketReader } from '../../src/tunnel/packet-reader.ts';
import type { Packet } from '../../src/tunnel/packet.ts';
import type { Frontend } from './server.ts';

/** A frontend that speaks gRPC by Node's own HTTP/2, whose streams may be read or not. */
export interface RawSession {
  dial(address: string): Promise<RawStream>;
  destroy(): void;
}

export interface RawStream {
  readonly stream: ClientHttp2Stream;
  /** DATA as one packet. False: what was written waits. */
  write(data: Buffer | string): boolean;
  /** Reads nothing more: neither stream nor connection give credit for it. */
  stopReading(): void;
  /** So many bytes of the connection. Rejects when they do not come in time. */
  read(count: number, timeoutMs?: number): Promise<Buffer>;
  /** The server has ended it. */
  isOver(): boolean;
}

let lastDialId = 0n;

export async function openRawSession(frontend: Frontend): Promise<RawSession> {
  if (frontend.type !== 'unix') throw new Error('it speaks to Unix sockets alone');
  const session = await openSession(frontend);
  session.on('error', () => undefined);
  const ask = (address: string): ClientHttp2Stream => {
    const stream = session.request({
      ...{ ':method': 'POST', ':path': '/ProxyService/Proxy' },
      ...{ 'content-type': 'application/grpc', te: 'trailers' },
    });
    stream.on('error', () => undefined);
    lastDialId += 1n;
    stream.write(encodePacket({ type: 'DIAL_REQ', protocol: 'tcp', address, dialId: lastDialId }));
    return stream;
  };
  return {
    dial: (address) => answered(ask(address)),
    destroy: () => session.destroy(),
  };
}

/** Waits for the answer to the dial of a stream. @throws Error with what it says */
async function answered(stream: ClientHttp2Stream): Promise<RawStream> {
  let answer: Extract<Packet, { type: 'DIAL_RSP' }> | undefined;
  let received: Buffer[] = [];
  let count = 0;
  let over = false;
  let changed = (): void => undefined;
  const reader = new PacketReader({
    packet: (packet) => {
      if (packet.type === 'DIAL_RSP') answer = packet;
      if (packet.type === 'CLOSE_RSP') over = true;
      changed();
    },
    data: (_, piece) => {
      received.push(piece);
      count += piece.length;
      changed();
    },
  });
  stream.on('data', (chunk: Buffer) => reader.read(chunk));
  stream.on('close', () => {
    over = true;
    changed();
  });
  const wait = (isSo: () => boolean, what: string, timeoutMs: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${what} did not come in ${timeoutMs} ms`)), timeoutMs);
      changed = () => {
        if (!isSo() && !over) return;
        clearTimeout(timer);
        if (isSo()) resolve();
        else reject(new Error(`the stream ended before ${what}`));
      };
      changed();
    });
  await wait(() => answer !== undefined, 'the answer', 30_000);
  if (answer === undefined || answer.error !== '') throw new Error(answer?.error ?? 'no answer');
  const { connectId } = answer;
  return {
    stream,
    write: (data) =>
      stream.write(encodePacket({ type: 'DATA', connectId, error: '', data: Buffer.from(data) })),
    stopReading: () => stream.pause(),
    async read(bytes, timeoutMs = 10_000) {
      await wait(() => count >= bytes, `${bytes} bytes`, timeoutMs);
      const all = Buffer.concat(received);
      received = [all.subarray(bytes)];
      count = all.length - bytes;
      return all.subarray(0, bytes);
    },
    isOver: () => over,
  };
}

async function openSession(frontend: Extract<Frontend, { type: 'unix' }>): Promise<ClientHttp2Session> {
  const session = connect('http://server', {
    // Node's own bound of what a session keeps is no part of the test.
    maxSessionMemory: 4000,
    createConnection: () => connectTcp(frontend.path),
  });
  await once(session, 'remoteSettings');
  return session;
}
