import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { requestInfo } from '../kube/request-info.ts';
import { auditEvent, createAuditLog } from './audit.ts';
import { FakeExchange } from './testing/fake-exchange.ts';

const path = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways/foo/proxy/api/v1/secrets';

describe('an event', () => {
  const eventOf = (target: string, headers: readonly string[] = []) => {
    const exchange = new FakeExchange({ target, headers });
    exchange.respond(201, [], 'a secret body');
    const user = { name: 'jané', uid: '7', groups: ['dev'], extra: { scopes: ['a'] } };
    const receivedAt = new Date('2030-01-02T03:04:05.678Z');
    const request = { exchange, auditId: 'id-1', receivedAt, info: requestInfo('GET', target), user };
    return auditEvent(request, 'ResponseComplete', new Date('2030-01-02T03:04:06Z'));
  };

  test('says who, what and the outcome, as audit.k8s.io/v1 has it', () => {
    expect(JSON.parse(JSON.stringify(eventOf(`${path}?limit=1`, ['User-Agent', 'kubectl/1'])))).toEqual({
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: 'Metadata',
      auditID: 'id-1',
      stage: 'ResponseComplete',
      requestURI: `${path}?limit=1`,
      verb: 'get',
      user: { username: 'jané', uid: '7', groups: ['dev'], extra: { scopes: ['a'] } },
      sourceIPs: ['192.0.2.1'],
      userAgent: 'kubectl/1',
      objectRef: {
        resource: 'clustergateways',
        name: 'foo',
        apiGroup: 'cluster.core.oam.dev',
        apiVersion: 'v1alpha1',
        subresource: 'proxy',
      },
      responseStatus: { metadata: {}, code: 201 },
      requestReceivedTimestamp: '2030-01-02T03:04:05.678Z',
      stageTimestamp: '2030-01-02T03:04:06.000Z',
    });
  });

  test('never holds what proves an identity, nor a body', () => {
    const text = JSON.stringify(
      eventOf(path, [
        ...['Authorization', 'Bearer s3cret-1', 'Cookie', 's3cret-2', 'Proxy-Authorization', 's3cret-3'],
        ...[
          'Sec-WebSocket-Protocol',
          'base64url.bearer.authorization.k8s.io.s3cret-4',
          'X-Other',
          's3cret-5',
        ],
      ]),
    );
    expect(text).not.toContain('s3cret');
    expect(text).not.toContain('a secret body');
  });

  test('a user agent cannot start a line of its own', () => {
    const text = JSON.stringify(eventOf(path, ['User-Agent', 'x\n{"kind":"Event"}\u2028']));
    expect(text.split('\n')).toHaveLength(1);
  });

  test('a path is no object', () => {
    expect(JSON.parse(JSON.stringify(eventOf('/metrics')))).not.toHaveProperty('objectRef');
  });
});

describe('the log file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'audit-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  function create(file: string, maxQueuedBytes?: number) {
    const errors: { fields: object; message: string }[] = [];
    const log = {
      ...silentLog,
      error: (fields: object, message: string) => errors.push({ fields, message }),
    };
    return {
      errors,
      auditLog: createAuditLog({
        path: file,
        log,
        ...(maxQueuedBytes === undefined ? {} : { maxQueuedBytes }),
      }),
    };
  }

  const numbersIn = async (file: string) =>
    (await readFile(file, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { n: number }).n);

  test('gets a line for each event, in order, and is for its owner only', async () => {
    const file = join(folder, 'audit.log');
    const { auditLog, errors } = create(file);
    for (let n = 0; n < 1000; n += 1) auditLog.write({ n });
    await auditLog.close();
    expect(await numbersIn(file)).toEqual(Array.from({ length: 1000 }, (_, n) => n));
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(auditLog.dropped).toBe(0);
    expect(errors).toEqual([]);
  });

  test('half a line that somebody left stays one line', async () => {
    const file = join(folder, 'audit.log');
    await writeFile(file, '{"n":1}\n{"n":');
    const { auditLog } = create(file);
    auditLog.write({ n: 2 });
    auditLog.write({ n: 3 });
    await auditLog.close();
    expect(await readFile(file, 'utf8')).toBe('{"n":1}\n{"n":\n{"n":2}\n{"n":3}\n');
  });

  test('is appended to', async () => {
    const file = join(folder, 'audit.log');
    for (const n of [1, 2]) {
      const { auditLog } = create(file);
      auditLog.write({ n });
      await auditLog.close();
    }
    expect(await numbersIn(file)).toEqual([1, 2]);
  });

  test('the queue has a bound: what does not fit is counted and told once', async () => {
    const file = join(folder, 'audit.log');
    const { auditLog, errors } = create(file, 1000);
    for (let n = 0; n < 500; n += 1) auditLog.write({ n });
    await auditLog.close();
    const written = await numbersIn(file);
    expect(written.length + auditLog.dropped).toBe(500);
    expect(auditLog.dropped).toBeGreaterThan(0);
    expect(written.length).toBeLessThan(200);
    expect(errors).toMatchObject([{ message: 'audit events are being lost' }]);
  });

  test('a device without room: events are counted, told once, and never thrown', async () => {
    const { auditLog, errors } = create('/dev/full');
    for (let n = 0; n < 10; n += 1) auditLog.write({ n });
    await expect.poll(() => auditLog.dropped).toBeGreaterThan(0);
    await auditLog.close();
    expect(auditLog.dropped).toBe(10);
    expect(errors).toMatchObject([
      { message: 'audit events are being lost', fields: { err: { code: 'ENOSPC' } } },
    ]);
  });

  test('a folder that does not exist', async () => {
    const { auditLog, errors } = create(join(folder, 'no', 'audit.log'));
    auditLog.write({ n: 1 });
    await expect.poll(() => auditLog.dropped).toBe(1);
    await auditLog.close();
    expect(errors).toHaveLength(1);
  });

  test.runIf(process.getuid?.() === 0)('a disk that is full and then has room again', async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8k', 'tmpfs', folder]);
    try {
      const file = join(folder, 'audit.log');
      const { auditLog, errors } = create(file);
      const text = 'x'.repeat(2000);
      for (let n = 0; n < 20; n += 1) auditLog.write({ n, text });
      await expect.poll(() => auditLog.dropped, { timeout: 5000 }).toBeGreaterThan(0);
      expect(errors).toHaveLength(1);
      execFileSync('mount', ['-o', 'remount,size=1m', folder]);
      const lost = auditLog.dropped;
      await expect
        .poll(
          async () => {
            auditLog.write({ n: 100 });
            await new Promise((resolve) => setTimeout(resolve, 20));
            return (await readFile(file, 'utf8')).includes('{"n":100}\n');
          },
          { timeout: 5000 },
        )
        .toBe(true);
      expect(auditLog.dropped).toBe(lost);
      expect(errors).toHaveLength(1);
      await auditLog.close();
      // A line that was cut by the full disk must not swallow the one behind it.
      const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line.includes('"n":100'));
      expect(lines.every((line) => line === '{"n":100}')).toBe(true);
    } finally {
      execFileSync('umount', ['-l', folder]);
    }
  });

  test('after its end nothing is written, and it is counted', async () => {
    const file = join(folder, 'audit.log');
    const { auditLog } = create(file);
    auditLog.write({ n: 1 });
    await auditLog.close();
    auditLog.write({ n: 2 });
    expect(await numbersIn(file)).toEqual([1]);
    expect(auditLog.dropped).toBe(1);
  });
});
