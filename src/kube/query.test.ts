import { describe, expect, test } from 'vitest';
import { parseQuery, splitTarget } from './query.ts';

describe('parseQuery reads as Go does', () => {
  test.each([
    ['a=1&b=2', { a: ['1'], b: ['2'] }, false],
    ['a=1&a=2', { a: ['1', '2'] }, false],
    ['flag', { flag: [''] }, false],
    ['flag=', { flag: [''] }, false],
    ['=x', { '': ['x'] }, false],
    ['&&a=1&', { a: ['1'] }, false],
    ['a=b=c', { a: ['b=c'] }, false],
    ['a=1+2%2B%20', { a: ['1 2+ '] }, false],
    ['%61=1', { a: ['1'] }, false],
    ['a=%E7%94%A8', { a: ['用'] }, false],
    ['a=%ff', { a: ['\ufffd'] }, false],
    ['a=1;b=2', {}, true],
    ['a=1;b=2&c=3', { c: ['3'] }, true],
    ['a=%zz&b=2', { b: ['2'] }, true],
    ['a=%&b=2', { b: ['2'] }, true],
    ['__proto__=1', { ['__proto__']: ['1'] }, false],
  ])('%j', (raw, expected, malformed) => {
    const query = parseQuery(raw);
    for (const [name, values] of Object.entries(expected)) expect(query.all(name)).toEqual(values);
    expect(query.malformed).toBe(malformed);
    if (malformed) expect(query.has('a')).toBe(false);
  });

  test('too many are none', () => {
    const query = parseQuery('a=1&'.repeat(10_001));
    expect([query.malformed, query.has('a')]).toEqual([true, false]);
    expect(parseQuery('a=1&'.repeat(9_999)).all('a')).toHaveLength(9_999);
  });

  test('a flag', () => {
    const flag = (raw: string) => parseQuery(raw).flag('f');
    expect(['', 'f=0', 'f=false', 'f=False'].map(flag)).toEqual([false, false, false, false]);
    expect(['f', 'f=', 'f=1', 'f=true', 'f=no'].map(flag)).toEqual([true, true, true, true, true]);
  });
});

test('splitTarget', () => {
  expect(splitTarget('/a?b?c')).toEqual({ rawPath: '/a', rawQuery: 'b?c' });
  expect(splitTarget('/a')).toEqual({ rawPath: '/a', rawQuery: '' });
});
