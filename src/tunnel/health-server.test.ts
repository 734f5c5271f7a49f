import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { Counter, Gauge, Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { silentLog } from '../base/log.ts';
import { Scope } from '../base/scope.ts';
import { startAdminServer, startHealthServer } from './health-server.ts';
import type { HealthServerOptions, Readiness } from './health-server.ts';

let scope: Scope;
let readiness: Readiness;
let registry: Registry;

beforeEach(() => {
  scope = new Scope();
  readiness = { ok: true, text: 'ok' };
  registry = new Registry();
  new Counter({ name: 'cups_total', help: 'Cups of coffee.', registers: [registry] }).inc(3);
});
afterEach(() => scope.close());

const start = async (more: Partial<HealthServerOptions> = {}) =>
  scope.own(
    await startHealthServer({
      ...{ host: '127.0.0.1', port: 0, notReadyStatus: 500, registry, log: silentLog },
      readiness: () => readiness,
      ...more,
    }),
  );

const get = async (port: number, path: string, init: RequestInit = {}) => {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { redirect: 'manual', ...init });
  return { status: answer.status, body: await answer.text(), headers: answer.headers };
};

describe('the health server', () => {
  test('is alive', async () => {
    const { port } = await start();
    expect(await get(port, '/healthz')).toMatchObject({ status: 200, body: 'ok' });
  });

  test.each(['/readyz', '/ready', '/readyz?verbose'])('says at %s whether it is ready', async (path) => {
    const { port } = await start();
    expect(await get(port, path)).toMatchObject({ status: 200, body: 'ok' });
    readiness = { ok: false, text: 'no connection to any proxy agent' };
    expect(await get(port, path)).toMatchObject({ status: 500, body: 'no connection to any proxy agent' });
  });

  test('says so with the status that it was given', async () => {
    readiness = { ok: false, text: 'no' };
    const { port } = await start({ notReadyStatus: 503 });
    expect(await get(port, '/readyz')).toMatchObject({ status: 503, body: 'no' });
  });

  test('has metrics', async () => {
    const { port } = await start();
    const { status, body, headers } = await get(port, '/metrics');
    expect(status).toBe(200);
    expect(body).toContain('cups_total 3\n');
    expect(headers.get('content-type')).toBe(registry.contentType);
  });

  test('answers 500 and goes on when a metric cannot be read', async () => {
    new Gauge({
      ...{ name: 'broken', help: 'Broken.', registers: [registry] },
      collect: () => {
        throw new Error('secret detail');
      },
    });
    const log = { ...silentLog, error: vi.fn() };
    const { port } = await start({ log });
    expect(await get(port, '/metrics')).toMatchObject({ status: 500, body: 'Internal Server Error' });
    expect(log.error).toHaveBeenCalledTimes(1);
    expect(await get(port, '/healthz')).toMatchObject({ status: 200 });
  });

  test('knows nothing else', async () => {
    const { port } = await start();
    for (const path of ['/', '/healthz/', '/metrics2', '/debug/pprof/'])
      expect(await get(port, path), path).toMatchObject({ status: 404 });
  });

  test('knows GET and HEAD', async () => {
    const { port } = await start();
    const head = await get(port, '/healthz', { method: 'HEAD' });
    expect([head.status, head.body, head.headers.get('content-length')]).toEqual([200, '', '2']);
    const post = await get(port, '/healthz', { method: 'POST', body: 'x' });
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  test('fails at the start when the port is taken', async () => {
    const { port } = await start();
    await expect(start({ port })).rejects.toThrow(/EADDRINUSE/);
  });

  test('listens everywhere without a host', async () => {
    const { port } = await start({ host: '' });
    expect(await get(port, '/healthz')).toMatchObject({ status: 200 });
  });

  test('closes although somebody is connected and says nothing', async () => {
    const server = await start();
    const silent = connect(server.port, '127.0.0.1');
    const ended = text(silent);
    // Answered after the other one was accepted.
    await get(server.port, '/healthz');
    const before = performance.now();
    await server.close();
    await ended;
    expect(performance.now() - before).toBeLessThan(5_000);
    await expect(get(server.port, '/healthz')).rejects.toThrow();
  });
});

describe('the admin server', () => {
  const admin = async (more: { registry?: Registry } = {}) =>
    scope.own(
      await startAdminServer({ host: '127.0.0.1', port: 0, healthUrlPort: 8093, log: silentLog, ...more }),
    );

  test('sends scrapers to the health port of the host that they asked', async () => {
    const { port } = await admin();
    const { status, headers } = await get(port, '/metrics?x=1');
    expect([status, headers.get('location')]).toEqual([301, 'http://127.0.0.1:8093/metrics?x=1']);
  });

  test('has metrics itself where it was given some', async () => {
    const { port } = await admin({ registry });
    const { status, body } = await get(port, '/metrics');
    expect([status, body.includes('cups_total 3\n')]).toEqual([200, true]);
  });

  test('knows nothing else', async () => {
    const { port } = await admin();
    expect(await get(port, '/debug/pprof/')).toMatchObject({ status: 404 });
    expect(await get(port, '/healthz')).toMatchObject({ status: 404 });
  });
});
