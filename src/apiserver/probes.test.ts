import { describe, expect, test } from 'vitest';
import { createProbes } from './probes.ts';
import { FakeExchange } from './testing/fake-exchange.ts';

function ask(target: string, failing: readonly string[] = []) {
  const check = (name: string) => ({
    name,
    check: () => (failing.includes(name) ? `${name} is at 10.0.0.1` : undefined),
  });
  const probes = createProbes({ live: [check('loop')], ready: [check('secrets'), check('shutdown')] });
  const exchange = new FakeExchange({ target });
  const answered = probes.handle(exchange, target.split('?')[0] ?? '');
  return { answered, status: exchange.status, body: exchange.answerBody, headers: exchange.answerHeaders };
}

describe('probes', () => {
  test.each(['/livez', '/readyz', '/healthz'])('%s says ok', (target) => {
    expect(ask(target)).toMatchObject({ status: 200, body: 'ok' });
    expect(ask(target).headers).toContain('text/plain; charset=utf-8');
  });

  test('every check by name with ?verbose', () => {
    expect(ask('/readyz?verbose').body).toBe(
      '[+]ping ok\n[+]loop ok\n[+]secrets ok\n[+]shutdown ok\nreadyz check passed\n',
    );
    expect(ask('/livez?verbose=1').body).toBe('[+]ping ok\n[+]loop ok\nlivez check passed\n');
  });

  test('a failing check is 500 and named; why is withheld from anybody', () => {
    expect(ask('/readyz', ['secrets'])).toMatchObject({
      status: 500,
      body: '[+]ping ok\n[+]loop ok\n[-]secrets failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n',
    });
    expect(ask('/healthz', ['secrets']).status).toBe(500);
  });

  test('liveness hangs on nothing that makes the server unready', () => {
    expect(ask('/livez', ['secrets', 'shutdown'])).toMatchObject({ status: 200, body: 'ok' });
    expect(ask('/livez', ['loop']).status).toBe(500);
  });

  test('excluded checks are passed over; unknown ones are told', () => {
    expect(ask('/readyz?exclude=secrets&exclude=shutdown', ['secrets', 'shutdown'])).toMatchObject({
      status: 200,
      body: 'ok',
    });
    expect(ask('/readyz?verbose&exclude=secrets&exclude=nope', ['secrets'])).toMatchObject({
      status: 200,
      body:
        '[+]ping ok\n[+]loop ok\n[+]secrets excluded: ok\n[+]shutdown ok\n' +
        'warn: some health checks cannot be excluded: no matches for "nope"\nreadyz check passed\n',
    });
  });

  test('single checks', () => {
    expect(ask('/readyz/ping')).toMatchObject({ status: 200, body: 'ok' });
    expect(ask('/livez/secrets').answered).toBe(false);
    expect(ask('/readyz/secrets', ['secrets'])).toMatchObject({ status: 500 });
  });

  test.each(['/readyz/nope', '/readyz/ping/more', '/other', '/', '/__proto__', '/constructor', '/readyz/'])(
    '%s is no probe',
    (target) => {
      expect(ask(target)).toMatchObject({ answered: false, status: undefined });
    },
  );
});
