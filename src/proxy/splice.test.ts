import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { splice } from './upgrade.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function listening(onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    ends.push(() => socket.destroy());
    onConnection(socket);
  }).listen(0, '127.0.0.1');
  ends.push(() => server.close());
  await once(server, 'listening');
  return server;
}

async function connected(server: Server): Promise<Socket> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => undefined);
  ends.push(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** A caller and a target with a splice between them. */
async function setUp(onTarget: (socket: Socket) => void) {
  const target = await listening(onTarget);
  const spliced: Socket[] = [];
  const gateway = await listening((callerSide) => {
    void connected(target).then((targetSide) => {
      spliced.push(callerSide, targetSide);
      splice(callerSide, targetSide);
    });
  });
  return { caller: await connected(gateway), spliced };
}

describe('two joined connections', () => {
  test('a caller who goes on sending gets all that the target sent before its end', async () => {
    // As much as the kernel keeps for a caller that has not read yet.
    const bytes = 2 * 1024 * 1024;
    const { caller } = await setUp((socket) => socket.end(Buffer.alloc(bytes)));
    // kubectl's pings: what is not read when a socket is closed resets it, and with it goes what is on its way.
    const pings = setInterval(() => caller.write('ping'), 1);
    ends.push(() => clearInterval(pings));
    const over = Promise.race([once(caller, 'end'), once(caller, 'close')]);
    caller.pause();
    await sleep(300);
    let received = 0;
    caller.on('data', (chunk: Buffer) => (received += chunk.length)).resume();
    await over;
    expect(received).toBe(bytes);
  });

  test('a slow caller gets all that the target sent before it reset the connection', async () => {
    const bytes = 120_000;
    const target = await listening((socket) => {
      void once(socket.pause(), 'readable').then(() =>
        // With bytes unread, which resets it.
        socket.write(Buffer.alloc(bytes), () => setTimeout(() => socket.destroy(), 20)),
      );
    });
    const targetSide = await connected(target);
    let received = 0;
    let goOn: () => void = () => undefined;
    const caller = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        received += chunk.length;
        goOn = done;
      },
    });
    splice(caller, targetSide);
    caller.push(Buffer.alloc(10_000));
    await expect.poll(() => received).toBeGreaterThan(0);
    await sleep(100);
    caller.push('ping');
    await sleep(20);
    caller.push('ping');
    await sleep(20);
    const over = once(caller, 'finish');
    const reading = setInterval(() => goOn(), 1);
    ends.push(() => clearInterval(reading));
    await over;
    expect(received).toBe(bytes);
  });

  test('the end of one side is the end of the other at once, and nothing stays open', async () => {
    let atTarget: Socket | undefined;
    const { caller, spliced } = await setUp((socket) => (atTarget = socket));
    await expect.poll(() => spliced.length).toBe(2);
    await expect.poll(() => atTarget).toBeDefined();
    const begun = performance.now();
    const ended = once(atTarget as unknown as Socket, 'end');
    atTarget?.resume();
    caller.destroy();
    await ended;
    expect(performance.now() - begun).toBeLessThan(500);
    await expect.poll(() => spliced.every((socket) => socket.destroyed)).toBe(true);
  });
});
