import { execFile } from 'node:child_process';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';

import { registerCluster } from '../worlds/register.ts';
import { until } from '../worlds/wait.ts';
import { auditEnd, auditSince } from './audit-log.ts';
import { type RecordingTarget, startTarget, type TargetOptions } from './identity-target.ts';
import { describeMemory } from './memory-scenarios.ts';
import { describeGateway, metric, proxyPath } from './registration-world.ts';

const run = promisify(execFile);

await describeGateway('transports', (world) => {
  beforeAll(async () => {
    const { kube } = world();
    await registerCluster(kube, 'a', { cluster: kube.a, credential: 'X509Certificate' });
  });

  async function withTarget<T>(
    options: TargetOptions,
    use: (target: RecordingTarget) => Promise<T>,
  ): Promise<T> {
    const target = await startTarget(options);
    try {
      await registerTarget(target);
      return await use(target);
    } finally {
      await target.close();
    }
  }

  const registerTarget = (target: RecordingTarget) =>
    registerCluster(world().kube, 'target', {
      ...{ cluster: world().kube.a, credential: 'ServiceAccountToken' },
      ...{ endpoint: target.url, caPem: target.caPem },
    });

  /** Connections of the gateway's process to a port, or of the tunnel's agents, by the kernel's word. */
  async function connectionsTo(port: number): Promise<number> {
    const { kube, gateway } = world();
    const pid = kube.tunnel?.agentPid ?? gateway.pid;
    const { stdout } = await run('ss', ['-Htnp', 'state', 'established', `dst 127.0.0.1:${port}`]);
    return stdout.split('\n').filter((line) => line.includes(`pid=${pid},`)).length;
  }

  const atA = (path: string) => world().hub.call(proxyPath('a', path));

  test('1,000 requests one after the other share a connection', async () => {
    const { kube } = world();
    for (let i = 0; i < 1000; i += 1) expect((await atA('/version')).status).toBe(200);
    const open = await connectionsTo(kube.a.port);
    expect(open).toBeGreaterThan(0);
    expect(open).toBeLessThanOrEqual(2);
    expect(await metric(world(), 'cluster_gateway_target_connections{kind="http2"}')).toBe(open);
  });

  test.each(['h2', 'http/1.1'] as const)(
    '300 requests to a target that speaks %s ever open one or two',
    async (protocol) => {
      await withTarget({ protocol }, async (target) => {
        for (let i = 0; i < 300; i += 1)
          expect((await world().hub.call(proxyPath('target', '/x'))).status).toBe(200);
        expect(target.requests).toHaveLength(300);
        expect(target.accepted()).toBeLessThanOrEqual(2);
      });
    },
  );

  test('with 150 watches open a GET answers in under 100 ms', async () => {
    const { kube, hub } = world();
    const watches = await Promise.all(
      Array.from({ length: 150 }, (_, i) =>
        hub.open(proxyPath('a', `/api/v1/namespaces?watch=true&labelSelector=n%3Dv${i}`)),
      ),
    );
    try {
      for (const watch of watches) expect(watch.statusCode).toBe(200);
      const times: number[] = [];
      for (let i = 0; i < 21; i += 1) {
        const { status, ms } = await atA('/api/v1/namespaces/default');
        expect(status).toBe(200);
        times.push(ms);
      }
      expect(times.toSorted((one, other) => one - other)[10]).toBeLessThan(100);
      expect(await connectionsTo(kube.a.port)).toBeLessThanOrEqual(5);
      expect(await metric(world(), 'apiserver_longrunning_requests')).toBe(150);
    } finally {
      for (const watch of watches) watch.on('error', () => {}).destroy();
    }
    await expect.poll(() => metric(world(), 'apiserver_longrunning_requests')).toBe(0);
  });

  describe('a caller who goes away', () => {
    test.each(['hub', 'direct'] as const)(
      'ends its watch at the cluster within a second (%s)',
      async (door) => {
        const { kube } = world();
        const selector = `gone%3D${door}`;
        const since = await auditEnd(kube.a.auditLog);
        const watch = await world()[door].open(
          proxyPath('a', `/api/v1/namespaces?watch=true&labelSelector=${selector}`),
        );
        expect(watch.statusCode).toBe(200);
        await sleep(100);
        const stages = async () =>
          (await auditSince(kube.a.auditLog, since))
            .filter(({ requestURI }) => requestURI.includes(selector))
            .map(({ stage }) => stage);
        expect(await stages()).toEqual(['ResponseStarted']);
        const left = performance.now();
        watch.on('error', () => {}).destroy();
        await until(
          'the end of the watch in the audit log of the cluster',
          async () => (await stages()).includes('ResponseComplete') || undefined,
          { timeoutMs: 3000, intervalMs: 10 },
        );
        expect(performance.now() - left).toBeLessThan(1000);
      },
    );

    test.each(['h2', 'http/1.1'] as const)(
      'before any answer, at a target that speaks %s',
      async (protocol) => {
        await withTarget({ protocol, answer: () => {} }, async (target) => {
          const asked = world().direct.open(proxyPath('target', '/slow'), { timeoutMs: 300 });
          await expect(asked).rejects.toThrow('no answer');
          expect(target.requests).toHaveLength(1);
          await expect.poll(() => target.running(), { timeout: 1000 }).toBe(0);
        });
      },
    );
  });

  test.each([
    ['hub', 'h2'],
    ['hub', 'http/1.1'],
    ['direct', 'h2'],
    ['direct', 'http/1.1'],
  ] as const)('half an upload never looks whole (%s, to %s)', async (door, protocol) => {
    const seen: string[] = [];
    const answer: TargetOptions['answer'] = (request) => {
      request.on('data', (chunk: Buffer) => seen.push(chunk.toString()));
      request.on('end', () => seen.push('end'));
      request.on('aborted', () => seen.push('aborted'));
    };
    await withTarget({ protocol, answer }, async () => {
      const socket = await world()[door].connect();
      const head = `POST ${proxyPath('target', '/apply')} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`;
      socket.write(`${head}4\r\nhalf\r\n`);
      await expect.poll(() => seen).toEqual(['half']);
      socket.destroy();
      await expect.poll(() => seen.length, { timeout: 2000 }).toBeGreaterThan(1);
      expect(seen[1]).toBe('aborted');
    });
  });

  test('an HTTP/1.1-only target with chunks, trailers and early ends harms nothing', async () => {
    const answer: TargetOptions['answer'] = (request, response) => {
      if (request.url === '/cut') {
        response.writeHead(200, { 'transfer-encoding': 'chunked' });
        response.write('half', () => response.destroy());
        return;
      }
      if (request.url === '/empty') {
        response.writeHead(204, { connection: 'close' }).end();
        return;
      }
      response.writeHead(200, {
        trailer: 'x-sum',
        'keep-alive': 'timeout=5',
        'proxy-connection': 'keep-alive',
      });
      response.write('{"a":');
      response.addTrailers({ 'x-sum': '7' });
      setTimeout(() => response.end('1}'), 5);
    };
    await withTarget({ protocol: 'http/1.1', answer }, async (target) => {
      for (const door of ['hub', 'direct'] as const) {
        const answers = await Promise.all(
          Array.from({ length: 50 }, () => world()[door].call(proxyPath('target', '/chunks'))),
        );
        for (const { status, text } of answers) expect([status, text]).toEqual([200, '{"a":1}']);
        expect((await world()[door].call(proxyPath('target', '/empty'))).status).toBe(204);
        const cut: IncomingMessage = await world()[door].open(proxyPath('target', '/cut'));
        const readAll = async () => {
          for await (const chunk of cut) expect(String(chunk)).toBe('half');
        };
        // The end of half an answer must not look like its end.
        await expect(readAll()).rejects.toThrow();
      }
      expect(target.accepted()).toBeLessThan(120);
      expect((await atA('/healthz')).text).toBe('ok');
    });
  });

  test.each(['h2', 'http/1.1'] as const)(
    'a target that speaks %s and restarts while its connections idle is reached at once',
    async (protocol) => {
      const first = await startTarget({ protocol });
      await registerTarget(first);
      const ask = () => world().hub.call(proxyPath('target', '/x'));
      await Promise.all(Array.from({ length: 10 }, ask));
      expect(first.open()).toBeGreaterThan(0);
      await first.close();
      const second = await startTarget({ protocol, port: first.port });
      try {
        const answers = await Promise.all(Array.from({ length: 20 }, ask));
        expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
        expect(second.requests).toHaveLength(20);
      } finally {
        await second.close();
      }
    },
  );

  describeMemory(world);
});
