import { getEventListeners } from 'node:events';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { attachRequestContext } from './request-context.ts';
import { readDocument } from './resource-body.ts';
import { GIZMOS, serveGizmoA } from './testing/gizmos.ts';
import { protocols } from './testing/widgets.ts';

const A = `${GIZMOS}/a`;
const MERGE = 'application/merge-patch+json';

describe.each(protocols)('%s', (protocol) => {
  test.each([
    [
      'POST',
      GIZMOS,
      'application/json',
      'x'.repeat(3 * 1024 * 1024 + 1),
      413,
      'Request entity too large: limit is 3145728',
    ],
    ['POST', GIZMOS, 'application/json', '['.repeat(1_000_000), 400, 'nested too deeply'],
    ['POST', GIZMOS, 'application/yaml', '['.repeat(500_000), 400, 'nested too deeply'],
    ['POST', GIZMOS, 'application/yaml', '- '.repeat(200_000), 400, 'nested too deeply'],
    ['POST', GIZMOS, 'application/yaml', 'x'.repeat(600_000), 413, 'limit is 524288'],
    ['POST', GIZMOS, 'application/yaml', 'a: b\n---\nc: d\n', 400, 'invalid YAML'],
    [
      'POST',
      GIZMOS,
      'garbage',
      '{}',
      415,
      'accepted media types include: application/json, application/yaml',
    ],
    ['PATCH', A, ';', '{}', 415, 'application/merge-patch+json'],
    [
      'POST',
      GIZMOS,
      'text/plain',
      '{}',
      415,
      'accepted media types include: application/json, application/yaml',
    ],
    ['POST', GIZMOS, 'application/vnd.kubernetes.protobuf', 'k8s', 415, 'accepted media types'],
    ['PUT', A, 'application/json-patch+json', '{}', 415, 'accepted media types'],
    ['DELETE', A, 'text/plain', '{}', 415, 'accepted media types'],
    ['PATCH', A, MERGE, `{"spec":${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}}`, 400, 'nested too deeply'],
    ['PATCH', A, MERGE, ' '.repeat(3 * 1024 * 1024 + 1), 413, 'limit is'],
  ])('%s %s %s of a bad body is refused fast', async (method, path, type, body, code, message) => {
    const { ask } = await serveGizmoA(protocol);
    const started = performance.now();
    const answer = await ask(method, path, { type, body });
    expect([answer.status, answer.body.code]).toEqual([code, code]);
    expect(answer.body.message).toContain(message);
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  test('CVE-2019-11253: a bomb of aliases is refused fast', async () => {
    const { ask } = await serveGizmoA(protocol);
    const levels = Array.from({ length: 12 }, (_, at) => {
      const inner = at === 0 ? '"lol"' : `*a${at - 1}`;
      return `a${at}: &a${at} [${Array(9).fill(inner).join(',')}]`;
    });
    const started = performance.now();
    const { status } = await ask('POST', GIZMOS, { type: 'application/yaml', body: levels.join('\n') });
    expect(status).toBe(400);
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});

test.each([
  ['the time of the request is over', (controller: AbortController) => controller.abort()],
  ['the caller goes away', (_: AbortController, body: PassThrough) => body.destroy(new Error('reset'))],
  ['the body closes before its end', (_: AbortController, body: PassThrough) => body.destroy()],
])('a body that does not come to its end: %s', async (_, cut) => {
  const body = new PassThrough();
  const controller = new AbortController();
  const raw = {};
  attachRequestContext(raw, { body, signal: controller.signal } as never);
  const reading = readDocument({ raw, headers: { 'content-type': 'application/json' } } as never);
  body.write('{"a":');
  setTimeout(() => cut(controller, body), 10);
  await expect(reading).rejects.toMatchObject({ status: { reason: 'Timeout', code: 504 } });
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  expect(body.listenerCount('data')).toBe(0);
});

test('a body without a length is counted as it comes', async () => {
  const body = new PassThrough();
  const raw = {};
  attachRequestContext(raw, { body, signal: new AbortController().signal } as never);
  const reading = readDocument({ raw, headers: {} } as never);
  const refused = expect(reading).rejects.toMatchObject({ status: { code: 413 } });
  for (let i = 0; i < 4; i++) body.write(Buffer.alloc(1024 * 1024, ' '));
  await refused;
  expect(body.destroyed).toBe(false);
});
