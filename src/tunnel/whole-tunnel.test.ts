import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { failureOf } from '../net/testing/streams.ts';
import { Relay, startDestination, startEcho, until } from './testing/agent-server.ts';
import { hangingName, startTestAgent } from './testing/agent-under-test.ts';
import { never } from './testing/dial-under-test.ts';
import {
  modes,
  nothingLeft,
  rawConnect,
  readAll,
  requestOn,
  startHttpDestination,
  startWholeTunnel,
} from './testing/whole-tunnel.ts';

const mebibyte = 1024 * 1024;
const hello = () => startHttpDestination((_, response) => response.end('hello'));
const echoBody = () =>
  startHttpDestination((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      response.writeHead(200, { 'content-length': body.length }).end(body);
    });
  });

describe('client, server and agent together', () => {
  test('carry a request (upstream: TestBasicProxy_GRPC)', async () => {
    const tunnel = await startWholeTunnel();
    const agent = await tunnel.startAgent();
    expect(await requestOn(await tunnel.dial(await hello(), never))).toContain('hello');
    expect(await tunnel.metric('dial_failure_count{reason="no_agent"}')).toBe(0);
    await nothingLeft(tunnel, [agent]);
  });

  test('carry bytes that are read ten at a time (upstream: TestEchoServer)', async () => {
    const tunnel = await startWholeTunnel();
    await tunnel.startAgent();
    const socket = await tunnel.dial((await startEcho()).address, never);
    socket.write('1234567890123456789012345');
    const pieces: string[] = [];
    while (pieces.join('').length < 25) {
      const piece = (socket.read(Math.min(10, 25 - pieces.join('').length)) as Buffer | null)?.toString();
      if (piece === undefined) await once(socket, 'readable');
      else pieces.push(piece);
    }
    expect(pieces).toEqual(['1234567890', '1234567890', '12345']);
    socket.destroy();
  });

  test('carry large answers, one after the other (upstream: TestProxy_LargeResponse, BenchmarkLargeResponse_GRPC)', async () => {
    const tunnel = await startWholeTunnel();
    const agent = await tunnel.startAgent();
    const body = Buffer.alloc(2 * mebibyte, 'large ');
    const destination = await startHttpDestination((_, response) =>
      response.writeHead(200, { 'content-length': body.length }).end(body),
    );
    for (let i = 0; i < 10; i += 1)
      expect((await requestOn(await tunnel.dial(destination, never))) === body.toString()).toBe(true);
    await nothingLeft(tunnel, [agent]);
  });

  test('carry large requests (upstream: BenchmarkLargeRequest_GRPC)', async () => {
    const tunnel = await startWholeTunnel();
    await tunnel.startAgent();
    const body = 'request '.repeat((10 * mebibyte) / 8);
    const answer = await requestOn(await tunnel.dial(await echoBody(), never), body);
    expect(answer === body).toBe(true);
  });

  test.each(modes)(
    'carry ten large requests at once, over %s (upstream: TestProxy_ConcurrencyGRPC, TestProxy_ConcurrencyHTTP)',
    async (mode) => {
      const tunnel = await startWholeTunnel({ mode });
      const agent = await tunnel.startAgent();
      const destination = await echoBody();
      const bodies = Array.from({ length: 10 }, (_, at) => `${at} `.repeat(mebibyte));
      const answers = await Promise.all(
        bodies.map(async (body) => requestOn(await tunnel.dial(destination, never), body)),
      );
      expect(answers.map((answer, at) => answer === bodies[at])).toEqual(Array(10).fill(true));
      await nothingLeft(tunnel, [agent]);
    },
    60_000,
  );

  test('give each of 100 requests over two agents its own answer (upstream: TestConcurrentClientRequest)', async () => {
    const tunnel = await startWholeTunnel();
    const agents = [await tunnel.startAgent(), await tunnel.startAgent({ identity: { agentId: 'agent-2' } })];
    const destination = await echoBody();
    const ids = Array.from({ length: 100 }, (_, at) => `request ${at}`);
    const answers = await Promise.all(
      ids.map(async (id) => requestOn(await tunnel.dial(destination, never), id)),
    );
    expect(answers).toEqual(ids);
    for (const { metric } of agents) expect(await metric('dial_duration_seconds_count')).toBeGreaterThan(0);
    await nothingLeft(tunnel, agents);
  });
});

describe('a dial through all three', () => {
  test('of a destination that refuses says so in its words (upstream: TestProxyHandleDialError_GRPC)', async () => {
    const tunnel = await startWholeTunnel();
    const { metric } = await tunnel.startAgent();
    const gone = { host: '127.0.0.1', port: 1 };
    expect((await failureOf(tunnel.dial(gone, never))).message).toMatch(/connect: connection refused$/);
    expect(await tunnel.metric('dial_failure_count{reason="error_response"}')).toBe(1);
    expect(await metric('endpoint_dial_failure_total{reason="unknown"}')).toBe(1);
    expect(await tunnel.clientMetric('dial_failure_total{reason="endpoint"}')).toBe(1);
  });

  test('whose time is over before it begins asks nobody (upstream: TestProxyHandle_DoneContext_GRPC)', async () => {
    const tunnel = await startWholeTunnel();
    await tunnel.startAgent();
    const failure = await failureOf(tunnel.dial(await hello(), AbortSignal.abort()));
    expect(failure.kind).toBe('cancelled');
    expect(await tunnel.metric('grpc_connections{service_method="Proxy"}')).toBe(0);
  });

  test('whose request is given up while it waits for the answer ends on all sides (upstream: TestProxyHandle_RequestDeadlineExceeded_GRPC)', async () => {
    const tunnel = await startWholeTunnel();
    const agent = await tunnel.startAgent();
    const silent = await startHttpDestination(() => undefined);
    const socket = await tunnel.dial(silent, never);
    socket.write('GET / HTTP/1.1\r\nHost: destination\r\n\r\n');
    await sleep(50);
    expect(await tunnel.metric('established_connections')).toBe(1);
    socket.destroy();
    await nothingLeft(tunnel, [agent]);
    expect(await tunnel.metric('grpc_connections{service_method="Proxy"}')).toBe(0);
  });

  test('that is cancelled while the agent dials is told as such by each of them (upstream: TestProxyDial_RequestCancelled_GRPC)', async () => {
    const tunnel = await startWholeTunnel();
    const agent = await tunnel.startAgent();
    const controller = new AbortController();
    const failure = failureOf(tunnel.dial({ host: hangingName, port: 1 }, controller.signal));
    await expect.poll(() => tunnel.metric('pending_backend_dials')).toBe(1);
    controller.abort();
    expect((await failure).kind).toBe('cancelled');
    await nothingLeft(tunnel, [agent]);
    expect(await tunnel.metric('dial_failure_count{reason="frontend_close"}')).toBe(1);
    expect(await tunnel.clientMetric('dial_failure_total{reason="context"}')).toBe(1);
  });

  test('that is cancelled at any time, fifty of them, leaves nothing (upstream: TestProxyDial_RequestCancelled_Concurrent_GRPC)', async () => {
    const tunnel = await startWholeTunnel();
    const agent = await tunnel.startAgent();
    const slow = await startHttpDestination(
      (_, response) => void setTimeout(() => response.end('late'), 100),
    );
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, async (_, at) => {
        const socket = await tunnel.dial(slow, AbortSignal.timeout(at)).catch(() => undefined);
        if (!socket) return 'cancelled';
        socket.on('error', () => undefined).write('GET / HTTP/1.1\r\nHost: destination\r\n\r\n');
        await sleep(at);
        socket.destroy();
        return 'opened';
      }),
    );
    expect(new Set(outcomes)).toContain('cancelled');
    await nothingLeft(tunnel, [agent]);
    expect(await requestOn(await tunnel.dial(slow, never))).toContain('late');
  });

  test('that the agent gives up is told as the failure of its destination (upstream: TestProxyDial_AgentTimeout_GRPC)', async () => {
    const tunnel = await startWholeTunnel();
    const agent = await tunnel.startAgent({ dialTimeoutMs: 200 });
    const failure = await failureOf(tunnel.dial({ host: hangingName, port: 1234 }, never));
    expect(failure.message).toMatch(/i\/o timeout$/);
    expect(await tunnel.clientMetric('dial_failure_total{reason="endpoint"}')).toBe(1);
    expect(await agent.metric('endpoint_dial_failure_total{reason="timeout"}')).toBe(1);
    await nothingLeft(tunnel, [agent]);
  });

  test('of a tunnel that has ended fails, and what was open is cut (upstream: TestProxyHandle_TunnelContextCancelled_GRPC)', async () => {
    const tunnel = await startWholeTunnel();
    const agent = await tunnel.startAgent();
    const socket = await tunnel.dial((await startEcho()).address, never);
    const failed = once(socket, 'error');
    tunnel.dial.destroy();
    await failed;
    expect((await failureOf(tunnel.dial({ host: 'a', port: 1 }, never))).message).toBe(
      'the tunnel was closed',
    );
    await nothingLeft(tunnel, [agent]);
  });
});

describe('HTTP CONNECT', () => {
  test('is answered 200 without a byte too many (upstream: TestBasicProxy_HTTPCONN)', async () => {
    const tunnel = await startWholeTunnel({ mode: 'http-connect' });
    const agent = await tunnel.startAgent();
    const destination = await hello();
    const answer = await rawConnect(tunnel.frontend, `127.0.0.1:${destination.port}`);
    expect(answer).toBe('HTTP/1.1 200 Connection Established\r\n\r\n');
    expect(await requestOn(await tunnel.dial(destination, never))).toContain('hello');
    tunnel.server.destroy();
    await until(() => agent.agent.openConnections === 0);
  });

  test('of a name that is none is answered 502 in the words of the agent (upstream: TestFailedDNSLookupProxy_HTTPCONN)', async () => {
    const tunnel = await startWholeTunnel({ mode: 'http-connect' });
    await tunnel.startAgent({
      lookupDestination: (host, _, done) =>
        done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' }), []),
    });
    const answer = await rawConnect(tunnel.frontend, 'nobody.test:443');
    expect(answer).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/);
    expect(answer).toMatch(/no such host$/);
  });

  test('of a destination that refuses is answered 502 in its words (upstream: TestFailedDial_HTTPCONN)', async () => {
    const tunnel = await startWholeTunnel({ mode: 'http-connect' });
    const agent = await tunnel.startAgent();
    const answer = await rawConnect(tunnel.frontend, '127.0.0.1:1');
    expect(answer).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/);
    expect(answer).toMatch(/connect: connection refused$/);
    await nothingLeft(tunnel, [agent]);
  });
});

describe('agents that come and go', () => {
  test.each(modes)(
    'end their connections at once, and dials fail at once, over %s (upstream: TestProxy_Agent_Disconnect_Persistent_Connection)',
    async (mode) => {
      const tunnel = await startWholeTunnel({ mode });
      const { agent } = await tunnel.startAgent();
      const destination = await startEcho();
      const socket = await tunnel.dial(destination.address, never);
      const ended = new Promise((resolve) => socket.once('end', resolve).once('error', resolve));
      socket.resume();
      agent.destroy();
      await ended;
      socket.destroy();
      const began = performance.now();
      const failure = await failureOf(tunnel.dial(destination.address, never));
      expect(failure.message).toContain('No agent available');
      expect(performance.now() - began).toBeLessThan(5_000);
      await nothingLeft(tunnel, []);
    },
  );

  test.each(modes)(
    'serve when they are back, over %s (upstream: TestAgentRestartReconnect)',
    async (mode) => {
      const tunnel = await startWholeTunnel({ mode });
      const destination = await hello();
      const first = await tunnel.startAgent();
      expect(await requestOn(await tunnel.dial(destination, never))).toContain('hello');
      first.agent.destroy();
      await expect.poll(() => tunnel.server.readyAgents()).toBe(0);
      await tunnel.startAgent();
      expect(await requestOn(await tunnel.dial(destination, never))).toContain('hello');
    },
  );

  test.each(modes)(
    'with the same ID leave each other’s connections alone, over %s (upstream: TestAgent_MultipleConn)',
    async (mode) => {
      const tunnel = await startWholeTunnel({ mode });
      await tunnel.startAgent();
      const socket = await tunnel.dial((await startEcho()).address, never);
      const say = async (text: string) => {
        socket.write(text);
        expect(((await once(socket, 'data')) as [Buffer])[0].toString()).toBe(text);
      };
      await say('before');
      const second = await tunnel.startAgent();
      await say('between');
      second.agent.destroy();
      await expect.poll(() => tunnel.server.readyAgents()).toBe(1);
      await say('after');
      socket.destroy();
    },
  );

  test('that drain go on serving (upstream: TestProxyHandle_AfterDrain)', async () => {
    const tunnel = await startWholeTunnel();
    const { agent } = await tunnel.startAgent({ drainMinMs: 10_000 });
    void agent.drain();
    await expect
      .poll(() => tunnel.metric('stream_packets_total{segment="from_agent",packet_type="DRAIN"}'))
      .toBe(1);
    expect(await requestOn(await tunnel.dial(await hello(), never))).toContain('hello');
  });

  test('offer the protocols of their operator beside h2 (upstream: TestCustomALPN)', async () => {
    const tunnel = await startWholeTunnel();
    await tunnel.startAgent({ identity: { alpnProtocols: ['example'] } });
    expect(await requestOn(await tunnel.dial(await hello(), never))).toContain('hello');
  });
});

describe('readiness', () => {
  test.each(modes)(
    'of both sides comes with the agent, over %s (upstream: TestGRPCServerAndAgentReadiness, TestHTTPConnServerAndAgentReadiness)',
    async (mode) => {
      const tunnel = await startWholeTunnel({ mode });
      expect(tunnel.server.readyAgents()).toBe(0);
      const { agent } = await tunnel.startAgent();
      expect(agent.isReady).toBe(true);
      await expect.poll(() => tunnel.server.readyAgents()).toBe(1);
    },
  );

  test('of an agent does not come without a server (upstream: TestAgentReadinessWithoutServer)', async () => {
    const { agent, log } = await startTestAgent([{ host: '127.0.0.1', port: 1 }]);
    await until(() => log.length > 0);
    expect(agent.isReady).toBe(false);
  });
});

describe('servers that come and go', () => {
  test('are connected to again at the same address (upstream: TestServerRestartAgentReconnect)', async () => {
    const first = await startWholeTunnel();
    const { agent } = await first.startAgent();
    first.server.destroy();
    await until(() => !agent.isReady);
    const second = await startWholeTunnel({ agentPort: first.agentAddress.port });
    await until(() => agent.isReady);
    expect(await requestOn(await second.dial(await hello(), never))).toContain('hello');
  });

  test('are one or three behind one address, each of which the agent finds (upstream: TestBasicHAProxyServer_GRPC, TestSingleServer_SingleAgent_StaticCount, TestMultiServer_MultiAgent_StaticCount)', async () => {
    const start = (serverId: string) => startWholeTunnel({ serverId, serverCount: () => 3 });
    const servers = [await start('server-1'), await start('server-2'), await start('server-3')];
    let turn = 0;
    const balancer = new Relay(() => {
      turn += 1;
      return (servers[turn % servers.length] as (typeof servers)[number]).agentAddress;
    });
    const address = await balancer.listen();
    const agents = [
      await startTestAgent([address]),
      await startTestAgent([address], { identity: { agentId: 'agent-2' } }),
    ];
    const destination = await startDestination((socket) => socket.end('hello'));
    const eachServes = async (count: number) => {
      for (const { metric } of agents)
        await expect.poll(() => metric('open_server_connections'), { timeout: 10_000 }).toBe(count);
      for (const { dial } of servers)
        expect((await readAll(await dial(destination.address, never))).toString()).toBe('hello');
    };
    await eachServes(3);
    servers.splice(1, 1)[0]?.server.destroy();
    await eachServes(2);
    servers.push(await start('server-4'));
    await eachServes(3);
  }, 60_000);
});
