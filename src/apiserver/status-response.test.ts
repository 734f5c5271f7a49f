import { describe, expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import type { FailureKind } from '../base/failure.ts';
import { StatusError } from '../kube/status.ts';
import { respondStatus, statusErrorOf } from './status-response.ts';
import { FakeExchange } from './testing/fake-exchange.ts';

describe('what a failure becomes', () => {
  test.each<[FailureKind, boolean, number, string]>([
    ['unreachable', false, 503, 'ServiceUnavailable'],
    ['refused', false, 503, 'ServiceUnavailable'],
    ['untrusted', false, 502, 'BadGateway'],
    ['reset', true, 502, 'BadGateway'],
    ['timeout', true, 504, 'Timeout'],
    // Nothing was sent: the target could not be reached.
    ['timeout', false, 503, 'ServiceUnavailable'],
    ['cancelled', false, 503, 'ServiceUnavailable'],
    ['too-large', false, 413, 'RequestEntityTooLarge'],
  ])('%s (sent: %s) is %i %s', (kind, sent, code, reason) => {
    const failure = new Failure(kind, 'dial tcp 10.0.0.1:6443: i/o timeout', { sent });
    const details = { name: 'foo', group: 'g', kind: 'clustergateways' };
    const error = statusErrorOf(failure, { prefix: 'error trying to reach cluster "foo"', details });
    expect(error.status).toEqual({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: 'error trying to reach cluster "foo": dial tcp 10.0.0.1:6443: i/o timeout',
      reason,
      details,
      code,
    });
    expect(error.cause).toBe(failure);
  });

  test('a Status stays what it is', () => {
    const error = new StatusError('Forbidden', 'no');
    expect(statusErrorOf(error, { prefix: 'x', details: {} })).toBe(error);
  });

  test.each([new TypeError('secret'), 'secret', undefined, { message: 'secret' }])(
    'anything else is 500 and says nothing: %o',
    (thrown) => {
      const { status } = statusErrorOf(thrown, { prefix: 'x', details: {} });
      expect(status).toMatchObject({ code: 500, reason: 'InternalError', message: 'Internal Server Error' });
    },
  );
});

describe('the answer', () => {
  test('as kube-apiserver writes it', () => {
    const exchange = new FakeExchange();
    respondStatus(exchange, new StatusError('Forbidden', 'no').status, ['audit-id', 'x']);
    expect(exchange.status).toBe(403);
    expect(exchange.answerHeaders).toEqual([
      ...['content-type', 'application/json', 'x-content-type-options', 'nosniff'],
      ...['cache-control', 'no-cache, private', 'audit-id', 'x'],
    ]);
    expect(JSON.parse(exchange.answerBody)).toMatchObject({ kind: 'Status', code: 403 });
  });

  test('Retry-After only where the status says so: clients sleep and repeat on it', () => {
    const retry = new FakeExchange();
    respondStatus(
      retry,
      new StatusError('TooManyRequests', 'x', { details: { retryAfterSeconds: 1 } }).status,
    );
    expect(retry.answerHeaders.join(' ')).toContain('retry-after 1');
    const dead = new FakeExchange();
    respondStatus(dead, statusErrorOf(new Failure('unreachable', 'x')).status);
    expect(dead.answerHeaders.join(' ')).not.toContain('retry-after');
  });
});
