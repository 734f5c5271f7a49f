import { describe, expect, test } from 'vitest';
import { FakeExchange } from './testing/fake-exchange.ts';
import { refuseAtShutdown } from './try-later.ts';

describe('new requests while the server stops', () => {
  test('are sent elsewhere with 429, and their connection ends', () => {
    const exchange = new FakeExchange({ target: '/apis' });
    expect(refuseAtShutdown(exchange, ['audit-id', 'x'])).toBe(true);
    expect(exchange.closesConnection).toBe(true);
    expect(exchange.status).toBe(429);
    expect(exchange.answerBody).toBe('The apiserver is shutting down, please try again later.\n');
    expect(exchange.answerHeaders.join('\n')).toMatch(/text\/plain[^]*retry-after\n5\naudit-id\nx$/);
  });

  test.each(['/livez', '/readyz?verbose', '/healthz/ping', '/metrics'])('%s is served', (target) => {
    const exchange = new FakeExchange({ target });
    expect(refuseAtShutdown(exchange)).toBe(false);
    expect(exchange.status).toBeUndefined();
  });

  test.each(['/livezz', '/metricsx', '/apis/livez', '/'])('%s is not', (target) => {
    expect(refuseAtShutdown(new FakeExchange({ target }))).toBe(true);
  });
});
