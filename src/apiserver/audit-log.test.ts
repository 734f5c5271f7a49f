import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import type { AuditEvent } from './audit-event.ts';
import { LOST_EVENTS, createAuditLog } from './audit-log.ts';
import type { AuditLog } from './audit-log.ts';

const event = (n: number, text = ''): AuditEvent => ({
  kind: 'Event',
  apiVersion: 'audit.k8s.io/v1',
  level: 'Metadata',
  auditID: String(n),
  stage: 'ResponseComplete',
  requestURI: `/${text}`,
  verb: 'get',
  user: {},
  requestReceivedTimestamp: '',
  stageTimestamp: '',
});

describe('the audit log', () => {
  let auditLog: AuditLog | undefined;
  afterEach(() => auditLog?.destroy());

  /** A log whose output fails while `failing`, and hangs while `hanging`. */
  function create(options: { maxQueuedLength?: number; closeTimeoutMs?: number } = {}) {
    const medium = { failing: false, hanging: false, writes: 0, text: '', closed: false };
    const said: string[] = [];
    const say = (_: object, message: string) => said.push(message);
    const made = createAuditLog({
      ...options,
      retryMs: 10,
      log: { ...silentLog, error: say, warn: say },
      output: {
        append: async (lines) => {
          medium.writes += 1;
          while (medium.hanging) await sleep(5);
          if (medium.failing) throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
          medium.text += lines.toString();
        },
        close: () => {
          medium.closed = true;
          return Promise.resolve();
        },
      },
    });
    auditLog = made;
    const events = () =>
      medium.text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as AuditEvent);
    return { medium, said, auditLog: made, events, ids: () => events().map(({ auditID }) => auditID) };
  }

  const numbers = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, index) => String(from + index));

  test('writes a line for each event, in order, many at once', async () => {
    const { auditLog: log, medium, ids, said } = create();
    for (let n = 0; n < 1000; n += 1) log.write(event(n));
    await log.close();
    expect(ids()).toEqual(numbers(0, 1000));
    expect(medium.writes).toBeLessThan(10);
    expect(medium.closed).toBe(true);
    expect(log.lost).toBe(0);
    expect(said).toEqual([]);
  });

  test('never waits for its output, not even at its own end', async () => {
    const { auditLog: log, medium } = create({ closeTimeoutMs: 50 });
    medium.hanging = true;
    const before = performance.now();
    for (let n = 0; n < 100; n += 1) log.write(event(n));
    expect(performance.now() - before).toBeLessThan(50);
    await log.close();
    expect(performance.now() - before).toBeLessThan(1000);
    expect(log.lost).toBe(100);
    medium.hanging = false;
  });

  test('keeps events while its output fails, and says so once, and when it works again', async () => {
    const { auditLog: log, medium, ids, said } = create();
    medium.failing = true;
    for (let n = 0; n < 10; n += 1) log.write(event(n));
    await expect.poll(() => medium.writes).toBeGreaterThan(3);
    expect(said).toEqual(['audit events cannot be written: they wait in memory']);
    expect(log.lost).toBe(0);
    medium.failing = false;
    await expect.poll(ids).toEqual(numbers(0, 10));
    expect(said.slice(1)).toEqual(['audit events are written again']);
    medium.failing = true;
    log.write(event(10));
    await expect.poll(() => said.length).toBe(3);
  });

  test('its queue has a bound: what does not fit is counted, told once, and marked where it is missing', async () => {
    const { auditLog: log, medium, ids, events, said } = create({ maxQueuedLength: 2000 });
    medium.failing = true;
    for (let n = 0; n < 500; n += 1) log.write(event(n));
    const { lost } = log;
    expect(lost).toBeGreaterThan(480);
    await expect.poll(() => medium.writes).toBeGreaterThan(2);
    expect(said).toEqual([
      'the audit queue is full: audit events are being lost',
      'audit events cannot be written: they wait in memory',
    ]);
    medium.failing = false;
    await expect.poll(() => ids().length).toBe(500 - lost);
    log.write(event(500));
    await log.close();
    expect(log.lost).toBe(lost);
    const last = events().slice(-2);
    expect(last[0]).toMatchObject({
      kind: 'Event',
      stage: 'Panic',
      annotations: { [LOST_EVENTS]: String(lost) },
    });
    expect(last[0]?.requestReceivedTimestamp).toMatch(/Z$/);
    expect(last[1]?.auditID).toBe('500');
    expect(ids().slice(0, -2)).toEqual(numbers(0, 500 - lost));
  });

  test('a gap that nothing follows is marked at the end', async () => {
    const { auditLog: log, medium, events } = create({ maxQueuedLength: 2000 });
    medium.failing = true;
    for (let n = 0; n < 50; n += 1) log.write(event(n));
    medium.failing = false;
    await log.close();
    expect(events().at(-1)?.annotations).toEqual({ [LOST_EVENTS]: String(log.lost) });
  });

  test('what cannot be written at the end is counted', async () => {
    const { auditLog: log, medium, said } = create();
    medium.failing = true;
    for (let n = 0; n < 5; n += 1) log.write(event(n));
    await log.close();
    expect(log.lost).toBe(5);
    log.write(event(5));
    expect(log.lost).toBe(6);
    expect(said.length).toBeLessThanOrEqual(2);
  });

  test('a large queue is written in parts', async () => {
    const { auditLog: log, medium, ids } = create();
    const text = 'x'.repeat(100_000);
    for (let n = 0; n < 20; n += 1) log.write(event(n, text));
    await log.close();
    expect(ids()).toEqual(numbers(0, 20));
    expect(medium.writes).toBeGreaterThanOrEqual(10);
  });
});
