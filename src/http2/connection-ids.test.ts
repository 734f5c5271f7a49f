import { expect, test, vi } from 'vitest';
import { turns } from './testing/joined-sockets.ts';
import { getLines } from './testing/scripted-peer.ts';
import { joinedSides } from './testing/sides.ts';

// A billion streams are too many for a test.
vi.mock(import('./frame.ts'), async (original) => ({ ...(await original()), maxStreamId: 7 }));

test('a client whose stream numbers are used up begins no more, and ends what it has', async () => {
  const { client, server } = await joinedSides();
  const asked = [1, 3, 5, 7].map(() => client.request(getLines()));
  expect(asked.map(({ stream }) => stream.id)).toEqual([1, 3, 5, 7]);
  expect(() => client.request(getLines())).toThrow('no more streams');
  await turns();
  for (const { stream } of server.requests) stream.sendHead([':status', '200'], true);
  await turns();
  expect(asked.map(({ recorder }) => recorder.closed?.code)).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  expect(client.connection.openStreams).toBe(0);
  expect(() => client.request(getLines())).toThrow('no more streams');
});
