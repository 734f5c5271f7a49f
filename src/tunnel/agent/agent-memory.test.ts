import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { startAgentServer, startDestination, until } from '../testing/agent-server.ts';
import { startTestAgent } from '../testing/agent-under-test.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes in use in the heap, and in buffers beside it. */
async function used(): Promise<number> {
  for (let i = 0; i < 3; i += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const connections = 1_000;

test('a thousand idle connections are small, and nothing is left of them when they are closed', async () => {
  const server = await startAgentServer();
  const { agent } = await startTestAgent([server.address]);
  const destination = await startDestination((socket) => socket.resume().on('end', () => socket.end()));
  const { host, port } = destination.address;
  const call = await server.nextCall(1);
  const takePackets = async () => {
    await until(() => call.packets.length === connections, 'a packet for each', 10_000);
    return call.packets.splice(0);
  };

  /** Opens them, and closes them; gives what was in use between. */
  const round = async () => {
    for (let i = 0; i < connections; i += 1) call.ask(`${host}:${port}`);
    const answers = await takePackets();
    await until(() => destination.sockets.length === connections);
    const whileOpen = await used();
    for (const answer of answers)
      if (answer.type === 'DIAL_RSP') call.send({ type: 'CLOSE_REQ', connectId: answer.connectId });
    await takePackets();
    expect(agent.openConnections).toBe(0);
    await until(() => destination.sockets.every((socket) => socket.destroyed));
    destination.sockets.splice(0);
    return whileOpen;
  };

  await round();
  const before = await used();
  const whileOpen = await round();
  // Both ends are in this process; Node's socket takes most of it, twice.
  expect((whileOpen - before) / connections).toBeLessThan(8_000);
  await round();
  expect(((await used()) - before) / connections).toBeLessThan(400);
});
