import { buffer } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { frameType } from './frame.ts';
import { IncomingBody } from './incoming-body.ts';
import { silentListener } from './stream.ts';
import type { Http2Stream } from './stream.ts';
import { turns, until } from './testing/joined-sockets.ts';
import { frames, postLines } from './testing/scripted-peer.ts';
import type { ScriptedPeer } from './testing/scripted-peer.ts';
import { scriptedClient } from './testing/sides.ts';

class Body extends IncomingBody {
  constructor(stream: Http2Stream) {
    super();
    this.receiveFrom(stream);
    stream.listener = {
      ...silentListener,
      dataReceived: (chunk) => this.receive(chunk),
      endReceived: () => this.complete(),
    };
  }
}

const windowBytes = 100_000;

async function received(): Promise<{ peer: ScriptedPeer; body: Body; stream: Http2Stream }> {
  const bodies: { body: Body; stream: Http2Stream }[] = [];
  const options = {
    streamWindowBytes: windowBytes,
    connectionWindowBytes: windowBytes,
    maxUnreadBytes: 10_000,
  };
  const { peer } = await scriptedClient(options, ({ stream }) => {
    bodies.push({ body: new Body(stream), stream });
  });
  peer.send(frames.headers(1, postLines()));
  await turns();
  const [made] = bodies;
  if (!made) throw new Error('no request');
  return { peer, ...made };
}

/** Sends as far as both windows go; gives up to which byte of the body it came. */
async function sendAll(peer: ScriptedPeer, total: number, from = 0): Promise<number> {
  let sent = from;
  for (let idle = 0; sent < total && idle < 30; idle += 1) {
    const connection = windowBytes - 65_535;
    const room = windowBytes + Math.min(peer.credit(1), peer.credit(0) - connection) - sent;
    const bytes = Math.min(room, total - sent, 10_000);
    if (bytes > 0) {
      peer.send(frames.data(1, Buffer.alloc(bytes, sent / 10_000), sent + bytes === total));
      sent += bytes;
      idle = 0;
    }
    await turns(2);
  }
  return sent;
}

test('a reader that reads gets all of it, however much more than the window it is', async () => {
  const { peer, body } = await received();
  const reading = buffer(body);
  expect(await sendAll(peer, 1_000_000)).toBe(1_000_000);
  const bytes = await reading;
  expect(bytes).toHaveLength(1_000_000);
  expect(bytes.every((byte, at) => byte === Math.floor(at / 10_000))).toBe(true);
  expect(peer.goaways()).toEqual([]);
});

test('one that stopped holds no more than the window, and goes on when it reads', async () => {
  const { peer, body } = await received();
  const chunks: Buffer[] = [];
  body.on('data', (chunk: Buffer) => chunks.push(chunk));
  body.pause();
  const stopped = await sendAll(peer, 500_000);
  // What the Readable takes before it says that it is enough is given back at once.
  expect(stopped).toBeGreaterThanOrEqual(windowBytes);
  expect(stopped).toBeLessThanOrEqual(windowBytes + body.readableHighWaterMark + 10_000);
  body.resume();
  await turns();
  expect(await sendAll(peer, 500_000, stopped)).toBe(500_000);
  await until(() => body.readableEnded);
  expect(Buffer.concat(chunks)).toHaveLength(500_000);
  expect([peer.resets(1), peer.goaways()]).toEqual([[], []]);
});

test('one that reads now and then gets all of it', async () => {
  const { peer, body } = await received();
  const chunks: Buffer[] = [];
  const sending = sendAll(peer, 600_000);
  for (let i = 0; !body.readableEnded && i < 5_000; i += 1) {
    const chunk = body.read() as Buffer | null;
    if (chunk) chunks.push(chunk);
    await turns(1 + (i % 5));
  }
  expect(await sending).toBe(600_000);
  expect(Buffer.concat(chunks)).toHaveLength(600_000);
});

test('a whole body that nobody reads holds nothing of the connection, and can be read still', async () => {
  const { peer, body } = await received();
  const before = peer.credit(0);
  for (let i = 0; i < 10; i += 1) peer.send(frames.data(1, Buffer.alloc(10_000), i === 9));
  await turns(40);
  expect(peer.credit(0) - before).toBe(100_000);
  expect(await buffer(body)).toHaveLength(100_000);
});

test('a body that is destroyed gives back what it holds', async () => {
  const { peer, body } = await received();
  for (let i = 0; i < 10; i += 1) peer.send(frames.data(1, Buffer.alloc(10_000)));
  await turns(40);
  const connection = windowBytes - 65_535;
  expect([peer.credit(1), peer.credit(0) - connection]).not.toContain(windowBytes);
  body.destroy();
  await turns();
  expect([peer.credit(1), peer.credit(0) - connection]).toEqual([windowBytes, windowBytes]);
});

test('what comes after that is dropped: it holds neither the stream nor the connection', async () => {
  const { peer, body, stream } = await received();
  body.destroy();
  expect(await sendAll(peer, 500_000)).toBe(500_000);
  expect(stream.remoteEnded).toBe(true);
  stream.sendHead([':status', '200'], true);
  await until(() => peer.isWhole(1));
  expect([peer.goaways(), peer.of(frameType.rstStream)]).toEqual([[], []]);
});
