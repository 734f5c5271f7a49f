import { expect, test } from 'vitest';
import { startDestination, startEcho, until } from '../testing/agent-server.ts';
import { connectedAgent } from '../testing/agent-under-test.ts';

const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';

test('an HTTP request and its answer go through, and then the close of the destination (upstream: TestServeData_HTTP)', async () => {
  const { call } = await connectedAgent();
  const destination = await startDestination((socket) => socket.once('data', () => socket.end(answer)));
  const connectId = await call.open(destination.address);
  call.sendBytes(connectId, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
  expect((await call.received(connectId, answer.length)).toString()).toBe(answer);
  expect(await call.next('CLOSE_RSP')).toEqual({ type: 'CLOSE_RSP', connectId, error: '' });
});

test('a close is answered, and a second one says that nobody knows the number (upstream: TestClose_Client)', async () => {
  const { agent, call } = await connectedAgent();
  const destination = await startEcho();
  const connectId = await call.open(destination.address);
  call.send({ type: 'CLOSE_REQ', connectId });
  expect(await call.next('CLOSE_RSP')).toEqual({ type: 'CLOSE_RSP', connectId, error: '' });
  await until(() => agent.openConnections === 0 && destination.sockets[0]?.destroyed === true);
  call.send({ type: 'CLOSE_REQ', connectId });
  expect(await call.next('CLOSE_RSP')).toEqual({ type: 'CLOSE_RSP', connectId, error: 'Unknown connectID' });
});

test('bytes of a connection that never was are answered with its close (upstream: TestConnectionMismatch)', async () => {
  const { agent, call } = await connectedAgent();
  call.sendBytes(12_345, Buffer.from('hello world'));
  expect(await call.next('CLOSE_RSP')).toMatchObject({ connectId: 12_345, error: 'unrecognized connectID' });
  expect(agent.openConnections).toBe(0);
});

test('a connection whose answer cannot be sent any more is closed (upstream: TestFailedSend_DialResp_GRPC)', async () => {
  const { agent, call } = await connectedAgent();
  const destination = await startDestination((socket) => socket.resume());
  for (let i = 0; i < 20; i += 1) call.ask(`127.0.0.1:${destination.address.port}`);
  await until(() => destination.sockets.length > 0);
  call.accepted.socket.destroy();
  await until(() => call.status !== undefined && agent.openConnections === 0);
  await until(() => destination.sockets.every(({ readableEnded, destroyed }) => readableEnded || destroyed));
});

test('a draining agent asks its server for no more (upstream: TestDrain)', async () => {
  const { agent, call } = await connectedAgent();
  const drained = agent.drain();
  expect(await call.next('DRAIN')).toEqual({ type: 'DRAIN' });
  expect(await drained).toBe('idle');
});

test.each([1, 3])(
  'servers are as many as the last one says: %i (upstream: TestResponseBasedCounter)',
  async (serverCount) => {
    const { metric } = await connectedAgent({}, { serverCount });
    expect(await metric('known_server_count')).toBe(serverCount);
  },
);

test('another protocol than TCP is refused without a dial (upstream: TestReusableTunnel_UnsupportedProtocolShortCircuits)', async () => {
  const { call } = await connectedAgent();
  const destination = await startDestination();
  expect((await call.dial(`127.0.0.1:${destination.address.port}`, 'udp')).error).toBe(
    'dial udp: unknown network udp',
  );
  expect(destination.sockets).toEqual([]);
});
