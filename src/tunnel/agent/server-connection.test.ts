import { describe, expect, test } from 'vitest';
import { Failure } from '../../base/failure.ts';
import { Redacted } from '../../base/redacted.ts';
import { errorCode } from '../../http2/frame.ts';
import { testPki } from '../../net/testing/certificates.ts';
import { createClientTls } from '../../net/tls.ts';
import { issueCertificate } from '../../pki/issue.ts';
import { GrpcStatus, grpcCode } from '../grpc-status.ts';
import { Relay, startAgentServer, startEcho, until } from '../testing/agent-server.ts';
import type { AgentCall, AgentServer } from '../testing/agent-server.ts';
import { startTestAgent } from '../testing/agent-under-test.ts';
import type { AgentUnderTest } from '../testing/agent-under-test.ts';

/** Why connecting failed, once it has. */
async function failureOf({ log }: AgentUnderTest): Promise<Failure> {
  const isFailure = (entry: AgentUnderTest['log'][number]) =>
    entry.message === 'a server could not be connected to';
  await until(() => log.some(isFailure), 'a failure');
  const { err } = log.find(isFailure)?.fields ?? {};
  if (!(err instanceof Failure)) throw new Error('it is no Failure', { cause: err });
  return err;
}

describe('what servers are told', () => {
  test('who it is, and that it knows PAUSE', async () => {
    const server = await startAgentServer();
    const identifiers = 'host=cluster-a&host=b&ipv4=10.0.0.1&default-route=true';
    await startTestAgent([server.address], { identity: { agentId: 'a-1', identifiers } });
    const call = await server.nextCall(1);
    expect(call.metadata(':method')).toBe('POST');
    expect(call.metadata(':path')).toBe('/AgentService/Connect');
    expect(call.metadata(':authority')).toBe(`127.0.0.1:${server.address.port}`);
    expect(call.metadata('content-type')).toBe('application/grpc');
    expect(call.metadata('te')).toBe('trailers');
    expect(call.metadata('agentid')).toBe('a-1');
    expect(call.metadata('agentidentifiers')).toBe(identifiers);
    expect(call.metadata('x-tunnel-pause')).toBe('1');
    expect(call.metadata('authorization')).toBeUndefined();
    expect(call.accepted.certificate?.subject).toBe('CN=client');
  });

  test('the token, as it is at each connect', async () => {
    const server = await startAgentServer();
    let token = ' first\n';
    await startTestAgent([server.address], {
      identity: { readToken: () => Promise.resolve(new Redacted(token)) },
    });
    expect((await server.nextCall(1)).metadata('authorization')).toBe('Bearer first');
    token = 'second';
    server.call.connection.destroy();
    expect((await server.nextCall(2)).metadata('authorization')).toBe('Bearer second');
  });

  test('nothing when the token cannot be read, or is none; and nobody else is shown it', async () => {
    const server = await startAgentServer();
    const agent = await startTestAgent([server.address], {
      identity: { readToken: () => Promise.resolve(new Redacted('secret one\nsecret two')) },
    });
    expect((await failureOf(agent)).message).toBe('the token of the service account is not one word');
    expect(JSON.stringify(agent.log)).not.toContain('secret');
    expect(server.accepted).toBe(0);
  });

  test('the newest certificate, at each connect', async () => {
    const server = await startAgentServer();
    const { ca, client } = await testPki();
    const renewed = await issueCertificate({ commonName: 'renewed', usages: ['clientAuth'] }, { issuer: ca });
    let tls = createClientTls({ ca: ca.certificatePem, ...client });
    const { agent } = await startTestAgent([server.address], { identity: { tls: () => tls } });
    const first = await server.nextCall(1);
    await until(() => agent.isReady);
    tls = createClientTls({ ca: ca.certificatePem, ...renewed });
    const echo = await startEcho();
    await first.open(echo.address);
    expect(server.accepted).toBe(1);
    first.connection.destroy();
    expect((await server.nextCall(2)).accepted.certificate?.subject).toBe('CN=renewed');
  });
});

describe('who may be a server', () => {
  test('one whose certificate is for the name that was given, whatever its address', async () => {
    const server = await startAgentServer();
    const { port } = server.address;
    const lookup = () => Promise.resolve(['127.0.0.1']);
    const good = await startTestAgent([{ host: 'localhost', port }], { lookup });
    expect((await server.nextCall(1)).metadata(':authority')).toBe(`localhost:${port}`);
    await until(() => good.agent.isReady);
    const bad = await startTestAgent([{ host: 'other.test', port }], { lookup });
    const failure = await failureOf(bad);
    expect(failure.kind).toBe('untrusted');
    expect(failure.message).toBe(
      'tls: failed to verify certificate: x509: certificate is valid for localhost, not other.test',
    );
  });

  test('not one that another authority signed', async () => {
    const other = await issueCertificate({ commonName: 'other-ca', ca: true });
    const server = await startAgentServer();
    const tls = createClientTls({ ca: other.certificatePem });
    const agent = await startTestAgent([server.address], { identity: { tls: () => tls } });
    expect((await failureOf(agent)).kind).toBe('untrusted');
  });

  test('not one that does not speak HTTP/2', async () => {
    const server = await startAgentServer({ alpn: [] });
    expect((await failureOf(await startTestAgent([server.address]))).message).toContain('ALPN');
  });

  test('one that agrees to a protocol of the operator', async () => {
    const server = await startAgentServer({ alpn: ['konnectivity'] });
    await startTestAgent([server.address], { identity: { alpnProtocols: ['konnectivity'] } });
    expect((await server.nextCall(1)).accepted.alpn).toBe('konnectivity');
  });
});

describe('an answer', () => {
  const answered = async (...lines: string[]) =>
    startTestAgent([(await startAgentServer({ answer: (call) => call.stream.sendHead(lines) })).address]);

  test.each([
    [['servercount', '1'], 'expected one server ID, got 0'],
    [['serverid', 'a', 'serverid', 'b', 'servercount', '1'], 'expected one server ID, got 2'],
    [['serverid', '', 'servercount', '1'], 'expected one server ID, got 1'],
    [['serverid', 'a'], 'expected one server count'],
    [['serverid', 'a', 'servercount', '1', 'servercount', '1'], 'expected one server count'],
    [['serverid', 'a', 'servercount', 'many'], 'expected one server count'],
    [['serverid', 'a', 'servercount', '-1'], 'expected one server count'],
  ])('%j is none', async (lines, message) => {
    const agent = await answered(...lines);
    expect((await failureOf(agent)).message).toBe(message);
    expect(agent.agent.isReady).toBe(false);
  });

  test('of no servers means one', async () => {
    const agent = await answered('serverid', 'a', 'servercount', '0');
    await until(() => agent.agent.isReady);
    expect(await agent.metric('known_server_count')).toBe(1);
  });

  test('that does not come is not waited for', async () => {
    const server = await startAgentServer({ answer: () => {} });
    const agent = await startTestAgent([server.address], { limits: { serverTimeoutMs: 100 } });
    expect((await failureOf(agent)).message).toBe('the server did not say who it is in time');
    await until(() => server.openConnections === 0 || server.accepted > 1);
  });

  test('that says no is told, but not all of it', async () => {
    const text = `expected one agent ID in the context${'!'.repeat(1000)}`;
    const server = await startAgentServer({
      answer: (call) => call.stream.finish(new GrpcStatus(grpcCode.unknown, text)),
    });
    const { message } = await failureOf(await startTestAgent([server.address]));
    expect(message).toMatch(
      /^the server refused the stream: expected one agent ID in the context!+ \(gRPC code 2\)$/,
    );
    expect(message.length).toBeLessThan(400);
  });

  test('of a server that is none', async () => {
    const server = await startAgentServer({ answer: (call) => call.raw.sendHead([':status', '503'], true) });
    const { message } = await failureOf(await startTestAgent([server.address]));
    expect(message).toContain('unexpected HTTP status code received from server: 503');
  });
});

describe('a server that does not keep to the protocol', () => {
  const message = (bytes: Buffer, flag = 0) => {
    const prefix = Buffer.from([flag, 0, 0, 0, 0]);
    prefix.writeUInt32BE(bytes.length, 1);
    return Buffer.concat([prefix, bytes]);
  };

  test.each([
    ['what is no protobuf', message(Buffer.from([0x12, 0xff, 0xff]))],
    ['a compressed message', message(Buffer.from([0x08, 0x00]), 1)],
    ['a message above 4 MiB', message(Buffer.alloc(5 * 1024 * 1024, 0x08))],
  ])('%s ends the stream, which is made anew', async (_, bytes) => {
    const server = await startAgentServer();
    const { agent, metric } = await startTestAgent([server.address]);
    const call = await server.nextCall(1);
    await until(() => agent.isReady);
    call.raw.write(bytes);
    await server.nextCall(2);
    await until(() => agent.isReady);
    expect(server.openConnections).toBe(1);
    expect(await metric('server_connection_failure_count{direction="from_server"}')).toBe(1);
  });

  test('a message above 4 MiB that is DATA is only bytes', async () => {
    const server = await startAgentServer();
    await startTestAgent([server.address]);
    const call = await server.nextCall(1);
    const echo = await startEcho();
    const connectId = await call.open(echo.address);
    call.stream.sendData(connectId, Buffer.alloc(3 * 1024 * 1024));
    await call.received(connectId, 3 * 1024 * 1024);
    expect(server.calls).toHaveLength(1);
  });

  test('one that takes no answers is left', async () => {
    const server = await startAgentServer({ streamWindowBytes: 1_000 });
    const { agent } = await startTestAgent([server.address]);
    const call = await server.nextCall(1);
    await until(() => agent.isReady);
    call.reads = false;
    // Data that it does not read fills the window; then whatever is answered waits.
    const echo = await startEcho();
    const connectId = await call.open(echo.address);
    call.sendBytes(connectId, Buffer.alloc(10_000));
    for (let i = 0; i < 70_000; i += 1) call.send({ type: 'CLOSE_REQ', connectId: 1_000_000 });
    await server.nextCall(2);
  });
});

describe('keepalive', () => {
  test('a server that is silent is lost, and connected to anew', async () => {
    const server = await startAgentServer();
    const relay = new Relay(() => server.address);
    const address = await relay.listen();
    const { agent, log } = await startTestAgent([address], {
      keepaliveMs: 30,
      limits: { keepaliveTimeoutMs: 100, serverTimeoutMs: 300 },
    });
    await server.nextCall(1);
    await until(() => agent.isReady);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(agent.isReady).toBe(true);
    relay.silent = true;
    await until(() => !agent.isReady);
    relay.silent = false;
    await until(() => agent.isReady);
    expect(log.filter(({ message }) => message === 'a server is not connected any more')).toHaveLength(1);
  });

  test('a server that wants calm is asked half as often', async () => {
    const server = await startAgentServer();
    const { log } = await startTestAgent([server.address], { keepaliveMs: 1_000 });
    const intervals = () =>
      log.filter(({ message }) => message.includes('PINGs')).map(({ fields }) => fields['keepaliveMs']);
    const sendCalm = (call: AgentCall) => call.connection.fail(errorCode.enhanceYourCalm, 'too_many_pings');
    sendCalm(await server.nextCall(1));
    sendCalm(await server.nextCall(2));
    await server.nextCall(3);
    expect(intervals()).toEqual([2_000, 4_000]);
  });
});

test('a server that ends its connection in good order is connected to anew, and what is open goes on', async () => {
  const server = await startAgentServer();
  const { agent, log } = await startTestAgent([server.address]);
  const echo = await startEcho();
  const leaving = await server.nextCall(1);
  const connectId = await leaving.open(echo.address);
  leaving.connection.finish();
  const next = await server.nextCall(2);
  await until(() => agent.isReady);
  leaving.sendBytes(connectId, Buffer.from('still here'));
  await leaving.received(connectId, 10);
  await next.open(echo.address);
  expect(agent.openConnections).toBe(2);
  leaving.stream.finish();
  await until(() => agent.openConnections === 1);
  await until(() => server.openConnections === 1);
  expect(log.some(({ message }) => message === 'a server ends its connection')).toBe(true);
});

test('an agent that is destroyed does not wait for an answer', async () => {
  const server = await startAgentServer({ answer: () => {} });
  const { agent, log } = await startTestAgent([server.address]);
  await server.nextCall(1);
  agent.destroy();
  await until(() => server.openConnections === 0, 'the end', 1_000);
  expect(log.filter(({ level }) => level === 'warn')).toEqual([]);
});

test('an agent that ends says so', async () => {
  const server: AgentServer = await startAgentServer();
  const { agent } = await startTestAgent([server.address]);
  const call = await server.nextCall(1);
  await until(() => agent.isReady);
  await agent.close();
  expect(call.status?.isOk).toBe(true);
  await until(() => server.openConnections === 0);
});
