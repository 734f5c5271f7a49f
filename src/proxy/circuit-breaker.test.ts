import { describe, expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import { CircuitBreaker } from './circuit-breaker.ts';

const refused = (text = 'dial tcp 10.0.0.1:6443: connect: connection refused') =>
  new Failure('unreachable', text);

/** A breaker on a clock that is set by hand, whose pauses are exact. */
function setUp(random = () => 0.5) {
  const clock = { now: 0 };
  const changes: (string | undefined)[] = [];
  const onChange = (failure: Failure | undefined) => changes.push(failure?.message);
  const breaker = new CircuitBreaker({ now: () => clock.now, random, onChange });
  const fail = (times = 1, failure: unknown = refused()) => {
    for (let i = 0; i < times; i += 1) breaker.begin().failed(failure);
  };
  return { breaker, clock, fail, changes };
}

describe('a circuit breaker', () => {
  test('opens after five failures in a row, and then says the last one at once, in its words and of its kind', () => {
    const { breaker, fail } = setUp();
    fail(4);
    expect(breaker.isOpen).toBe(false);
    breaker.begin().succeeded();
    fail(4);
    expect(breaker.isOpen).toBe(false);
    fail(1, new Failure('untrusted', 'x509: certificate signed by unknown authority'));
    expect(breaker.isOpen).toBe(true);
    expect(() => breaker.begin()).toThrow(
      expect.objectContaining({
        ...{ kind: 'untrusted', sent: false },
        message: 'x509: certificate signed by unknown authority (not tried again yet)',
      }) as Error,
    );
  });

  test.each<[string, unknown]>([
    ['a caller who goes away', new Failure('cancelled', 'context canceled')],
    ['an answer that is cut', new Failure('reset', 'unexpected EOF', { sent: true })],
    ['no answer in time', new Failure('timeout', 'deadline', { sent: true })],
    ['a limit of ours', new Failure('refused', 'too many')],
    ['a fault of ours', new TypeError('x')],
  ])('%s says nothing of the cluster', (_, error) => {
    const { breaker, fail } = setUp();
    fail(4);
    fail(20, error);
    expect(breaker.isOpen).toBe(false);
    fail(1);
    expect(breaker.isOpen).toBe(true);
  });

  test('lets one probe through after each pause, which doubles up to five seconds', () => {
    const { breaker, clock, fail } = setUp();
    fail(5);
    for (const pause of [500, 1_000, 2_000, 4_000, 5_000, 5_000]) {
      clock.now += pause - 1;
      expect(() => breaker.begin()).toThrow('not tried again yet');
      clock.now += 1;
      const probe = breaker.begin();
      expect(() => breaker.begin()).toThrow('not tried again yet');
      probe.failed(refused());
    }
    clock.now += 5_000;
    breaker.begin().succeeded();
    expect(breaker.isOpen).toBe(false);
    // From the beginning: neither the count nor the pause is remembered.
    fail(4);
    expect(breaker.isOpen).toBe(false);
    fail(1);
    clock.now += 500;
    breaker.begin();
  });

  test('says the same failure, marked as repeated, until a probe brings another; and tells when it opens and closes', () => {
    const { breaker, clock, fail, changes } = setUp();
    const thrown = () => {
      try {
        breaker.begin();
      } catch (error) {
        return error as Failure;
      }
      throw new Error('it is closed');
    };
    breaker.begin().succeeded();
    fail(5, refused('first'));
    expect(thrown()).toBe(thrown());
    expect(thrown()).toMatchObject({ repeated: true, cause: { message: 'first', repeated: false } });
    clock.now += 500;
    breaker.begin().failed(refused('second'));
    expect(thrown().message).toBe('second (not tried again yet)');
    clock.now += 1_000;
    breaker.begin().succeeded();
    fail(5, refused('third'));
    expect(changes).toEqual(['first', undefined, 'third']);
  });

  test('a probe that its caller gives up makes room for the next', () => {
    const { breaker, clock, fail } = setUp();
    fail(5);
    clock.now += 500;
    breaker.begin().failed(new Failure('cancelled', 'context canceled'));
    breaker.begin().succeeded();
    expect(breaker.isOpen).toBe(false);
  });

  test('a probe without an answer is followed by another', () => {
    const { breaker, clock, fail } = setUp();
    fail(5);
    clock.now += 500;
    breaker.begin();
    clock.now += 4_999;
    expect(() => breaker.begin()).toThrow('not tried again yet');
    clock.now += 1;
    breaker.begin().succeeded();
    expect(breaker.isOpen).toBe(false);
  });

  test('who began before it opened changes nothing by failing later, and closes it by an answer', () => {
    const { breaker, clock, fail } = setUp();
    const [slow, lucky] = [breaker.begin(), breaker.begin()];
    fail(5);
    clock.now += 400;
    slow.failed(refused('later'));
    clock.now += 100;
    breaker.begin().failed(refused());
    lucky.succeeded();
    expect(breaker.isOpen).toBe(false);
  });

  test.each([
    [0, 400],
    [0.999, 600],
  ])('pauses differ by a fifth either way (random %s: %s ms)', (random, pause) => {
    const { breaker, clock, fail } = setUp(() => random);
    fail(5);
    clock.now += pause - 1;
    expect(() => breaker.begin()).toThrow('not tried again yet');
    clock.now += 1;
    breaker.begin();
  });
});
