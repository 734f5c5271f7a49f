import { afterEach, beforeEach, expect } from 'vitest';
import { fakeAgent, fakeFrontend, grpcTo, openThrough, startServer } from './server-peers.ts';
import type { ServerUnderTest } from './server-peers.ts';

const unhandled: unknown[] = [];
const note = (error: unknown) => unhandled.push(error);
beforeEach(() => process.on('uncaughtException', note).on('unhandledRejection', note));
afterEach(() => {
  process.off('uncaughtException', note).off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

export interface ServerWithCanary extends ServerUnderTest {
  /** Its connection carries bytes both ways, and none before were lost or mixed with others. */
  readonly canarySings: () => Promise<void>;
  /** Waits until the canary's connection is all that is left. */
  readonly expectClean: () => Promise<void>;
}

/** A server with one connection that must go on whatever the test does; errors that nobody handles fail the test. */
export async function startServerWithCanary(): Promise<ServerWithCanary> {
  const under = await startServer({ strategies: ['destHost'] });
  const canaryAgent = await fakeAgent(under.agents, { id: 'canary', identifiers: 'host=canary' });
  const canary = fakeFrontend(await grpcTo(under.frontend));
  await openThrough(canary, canaryAgent, { address: 'canary:1' });
  let said = 0;
  const canarySings = async () => {
    said += 1;
    canary.stream.sendData(1, Buffer.from(`tweet ${said};`));
    const all = Array.from({ length: said }, (_, at) => `tweet ${at + 1};`).join('');
    await canaryAgent.until(() => canaryAgent.bytesOf(1).length >= all.length);
    expect(canaryAgent.bytesOf(1).toString()).toBe(all);
    canaryAgent.stream.sendData(1, Buffer.from(`tweet ${said};`));
    await canary.until(() => canary.bytesOf(1).length >= all.length);
    expect(canary.bytesOf(1).toString()).toBe(all);
  };
  const left = async () => ({
    pending: await under.metric('pending_backend_dials'),
    established: await under.metric('established_connections'),
    held: await under.metric('held_bytes'),
    frontends: await under.metric('grpc_connections{service_method="Proxy"}'),
  });
  const nothingLeft = { pending: 0, established: 1, held: 0, frontends: 1 };
  /** Only the canary is left. */
  const expectClean = () => expect.poll(left, { timeout: 10_000 }).toEqual(nothingLeft);
  return { ...under, canarySings, expectClean };
}
