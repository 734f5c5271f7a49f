import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { errorCode } from '../../http2/frame.ts';
import { GrpcStatus, grpcCode, statusLines } from '../grpc-status.ts';
import { startAgentServer, startDestination, startEcho, until } from '../testing/agent-server.ts';
import type { AgentCall, AgentServer, TestDestination } from '../testing/agent-server.ts';
import { connectedAgent, hangingName, startTestAgent } from '../testing/agent-under-test.ts';
import { messages, strangePacket, turns } from '../testing/raw-call.ts';
import type { Packet } from '../packet.ts';

const timeout = 180_000;

const unhandled: unknown[] = [];
const note = (error: unknown) => unhandled.push(error);
beforeEach(() => process.on('uncaughtException', note).on('unhandledRejection', note));
afterEach(() => {
  process.off('uncaughtException', note).off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

const dialTo = (port: number, dialId: bigint, host = '127.0.0.1'): Packet => ({
  ...{ type: 'DIAL_REQ', protocol: 'tcp', address: `${host}:${port}`, dialId },
});

/** Three dials: one that hangs and is given up, one that is not allowed to be, one that opens. */
const dials = ({ address: { port } }: TestDestination, dialId: bigint) =>
  messages(
    dialTo(port, dialId, hangingName),
    ...[strangePacket, dialTo(port, dialId + 1n, 'a b'), { type: 'DRAIN' } as const],
    { type: 'DIAL_CLS', dialId },
    dialTo(port, dialId + 2n),
  );

/** Everything that a server could send on an open connection, the close last. */
const sequence = (connectId: number) =>
  messages(
    { type: 'DATA', connectId, error: '', data: Buffer.from('hello ') },
    { type: 'PAUSE', connectId },
    ...[strangePacket, { type: 'DIAL_RSP', error: 'x', connectId, dialId: 1n } as const],
    { type: 'DIAL_CLS', dialId: 2n ** 60n },
    { type: 'DATA', connectId: 2 ** 40, error: '', data: Buffer.from('of nobody') },
    ...([
      { type: 'CLOSE_REQ', connectId: 2 ** 41 },
      { type: 'RESUME', connectId },
    ] as const),
    { type: 'DATA', connectId, error: '', data: Buffer.from('world') },
    { type: 'CLOSE_REQ', connectId },
  );

/** A destination that notes what its newest connection brings until its end. */
async function startListener(): Promise<TestDestination & { readonly heard: () => string }> {
  let heard = '';
  const destination = await startDestination((socket) => {
    heard = '';
    socket.on('data', (chunk: Buffer) => (heard += chunk.toString())).once('end', () => (heard += '.'));
  });
  return { ...destination, heard: () => heard };
}

/** What a whole one of them does: the bytes arrive, it is closed, and numbers that are none are said to be. */
async function expectWhole(call: AgentCall, connectId: number, heard: () => string): Promise<void> {
  expect(await call.next('CLOSE_RSP', (each) => each.connectId === connectId)).toMatchObject({ error: '' });
  await until(() => heard() === 'hello world.', `all bytes; there are ${heard()}`);
  const strangers = [
    await call.next('CLOSE_RSP', (each) => each.connectId === 2 ** 40),
    await call.next('CLOSE_RSP', (each) => each.connectId === 2 ** 41),
  ];
  expect(strangers.map(({ error }) => error)).toEqual(['unrecognized connectID', 'Unknown connectID']);
}

/** Bytes in parts that are read one after the other, where nothing else keeps the process busy. */
async function writeParts(call: AgentCall, ...parts: readonly Buffer[]): Promise<void> {
  for (const part of parts) {
    if (part.length > 0) call.raw.write(part);
    await turns();
  }
}

async function openBy(call: AgentCall, bytes: Buffer, dialId: bigint, cut = bytes.length): Promise<number> {
  await writeParts(call, bytes.subarray(0, cut), bytes.subarray(cut));
  const refused = await call.next('DIAL_RSP', (each) => each.dialId === dialId + 1n);
  expect(refused.error).not.toBe('');
  const { error, connectId } = await call.next('DIAL_RSP', (each) => each.dialId === dialId + 2n);
  expect(error).toBe('');
  return connectId;
}

describe('a server whose bytes are cut anywhere', () => {
  test('is understood as one whose bytes are whole, and other connections go on', { timeout }, async () => {
    const { agent, call } = await connectedAgent({}, { canPause: true });
    const canary = await call.open((await startEcho()).address);
    const listener = await startListener();
    const count = Math.max(dials(listener, 1000n).length, sequence(300).length);
    for (let cut = 0; cut <= count; cut += 1) {
      const dialId = BigInt(1000 + cut * 10);
      const connectId = await openBy(call, dials(listener, dialId), dialId, cut);
      const packets = sequence(connectId);
      await writeParts(call, packets.subarray(0, cut), packets.subarray(cut));
      await expectWhole(call, connectId, listener.heard);
    }
    const dialId = 900_000n;
    for (const byte of dials(listener, dialId)) call.raw.write(Buffer.from([byte]));
    const connectId = await openBy(call, Buffer.alloc(0), dialId);
    for (const byte of sequence(connectId)) call.raw.write(Buffer.from([byte]));
    await expectWhole(call, connectId, listener.heard);
    call.sendBytes(canary, Buffer.from('tweet'));
    expect((await call.received(canary, 5)).toString()).toBe('tweet');
    await until(() => agent.openConnections === 1);
    expect(call.packets.filter(({ type }) => type !== 'CLOSE_RSP')).toEqual([]);
  });

  const ends: Record<string, (call: AgentCall) => void> = {
    END_STREAM: (call) => call.raw.end(undefined, statusLines(new GrpcStatus(grpcCode.ok, ''))),
    RST_STREAM: (call) => call.raw.reset(errorCode.cancel),
    'the loss of the connection': (call) => call.accepted.socket.destroy(),
  };
  test.each(Object.keys(ends))(
    'and end there by %s leaves no dial and no connection, and those of other servers go on',
    { timeout },
    async (how) => {
      const [server, other] = [await startAgentServer(), await startAgentServer({ serverId: 'server-2' })];
      const { agent, metric, log } = await startTestAgent([server.address, other.address], {
        ...{ syncIntervalMs: 1, syncIntervalCapMs: 5 },
      });
      const canaryCall = await other.nextCall(1);
      const echo = await startEcho();
      const canary = await canaryCall.open(echo.address);
      const whole = sequence(1);
      for (let cut = 0; cut <= whole.length; cut += 1) await endAt(server, { echo, cut, end: ends[how] });
      canaryCall.sendBytes(canary, Buffer.from('tweet'));
      expect((await canaryCall.received(canary, 5)).toString()).toBe('tweet');
      await until(() => agent.openConnections === 1);
      expect(await metric('held_bytes')).toBe(0);
      const gone = echo.sockets.slice(1);
      expect(gone).toHaveLength(whole.length + 1);
      await until(() => gone.every((socket) => socket.readableEnded || socket.destroyed));
      expect(log.filter(({ level }) => level === 'error')).toEqual([]);
    },
  );

  /** The next stream of the agent: an open connection, a dial that hangs, and the end after so many bytes. */
  async function endAt(
    server: AgentServer,
    {
      echo,
      cut,
      end,
    }: {
      readonly echo: TestDestination;
      readonly cut: number;
      readonly end?: ((call: AgentCall) => void) | undefined;
    },
  ): Promise<void> {
    const call = await server.nextCall(cut + 1);
    const connectId = await call.open(echo.address);
    call.ask(`${hangingName}:1`);
    await writeParts(call, sequence(connectId).subarray(0, cut));
    end?.(call);
    await until(() => call.status !== undefined, `the end of stream ${cut + 1}`);
  }
});
