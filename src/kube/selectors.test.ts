import { describe, expect, test } from 'vitest';
import { exactFieldValue, matchesFields, parseFieldSelector } from './field-selector.ts';
import { isLabelKey, matchesLabels, parseLabelSelector } from './label-selector.ts';
import { StatusError } from './status.ts';

const labels = { color: 'red', 'example.dev/size': '5', empty: '' };

describe('label selectors', () => {
  test.each([
    ['', true],
    [' ', true],
    ['color=red', true],
    ['color==red', true],
    ['color = red', true],
    ['color=blue', false],
    ['color=', false],
    ['empty=', true],
    ['empty=,color=red', true],
    ['color!=red', false],
    ['color!=blue', true],
    ['missing!=x', true],
    ['color', true],
    ['missing', false],
    ['!missing', true],
    ['!color', false],
    ['! color', false],
    ['color in (red)', true],
    ['color in (blue, red)', true],
    ['color in (blue,green)', false],
    ['color in ()', false],
    ['empty in ()', true],
    ['empty in (x,)', true],
    ['missing in (a)', false],
    ['color notin (blue)', true],
    ['color notin (red,blue)', false],
    ['missing notin (a)', true],
    ['example.dev/size>4', true],
    ['example.dev/size > 5', false],
    ['example.dev/size<6', true],
    ['color>1', false],
    ['missing<1', false],
    ['color=red,example.dev/size=5,!missing', true],
    ['color=red,missing', false],
    ['in in (in)', false],
    ['notin', false],
    ['constructor', false],
  ])('%j', (text, expected) => {
    expect(matchesLabels(parseLabelSelector(text), labels)).toBe(expected);
  });

  test('an object without labels', () => {
    expect(matchesLabels(parseLabelSelector('!a,b!=c'), undefined)).toBe(true);
    expect(matchesLabels(parseLabelSelector('a'), undefined)).toBe(false);
  });

  test.each([
    ...['a=b=c', 'a===b', '=b', 'a,', ',a', 'a b', 'a in b', 'a in (b', 'a in b)', 'a in (b c)', 'a=(b)'],
    ...['!', '!a=b', 'a!', 'a=b c', 'a=-b', 'a=b-', `a=${'x'.repeat(64)}`, `${'x'.repeat(64)}=a`, 'a/b/c'],
    ...[
      '/a',
      'a/',
      'X.dev/a',
      '-a=b',
      'a>b',
      'a>',
      'a=ü',
      'a in (=)',
      '(a)',
      'a notin',
      'a=>1',
      '__proto__!=x',
    ],
  ])('%j is refused', (text) => {
    expect(() => parseLabelSelector(text)).toThrow(StatusError);
  });

  test('requirements', () => {
    expect(parseLabelSelector('b in (y,x,x), a=1')).toEqual([
      { key: 'b', operator: 'In', values: ['x', 'y'] },
      { key: 'a', operator: 'In', values: ['1'] },
    ]);
  });

  test('keys', () => {
    for (const key of ['a', 'A_b.c-1', 'example.dev/a', 'a'.repeat(63)])
      expect(isLabelKey(key), key).toBe(true);
    for (const key of ['', '.a', 'a.', 'a b', `${'a.'.repeat(127)}a/b`])
      expect(isLabelKey(key), key).toBe(false);
  });

  test('a hostile selector takes no time', () => {
    const started = performance.now();
    for (const text of [
      `${'a,'.repeat(50_000)}a`,
      '!'.repeat(100_000),
      `a in (${','.repeat(100_000)})`,
      'a.'.repeat(50_000),
    ])
      try {
        parseLabelSelector(text);
      } catch {
        // Refused is as good.
      }
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});

describe('field selectors', () => {
  test.each([
    ['', []],
    [',', []],
    ['a=b', [{ field: 'a', operator: '=', value: 'b' }]],
    ['a==b', [{ field: 'a', operator: '=', value: 'b' }]],
    ['a!=b', [{ field: 'a', operator: '!=', value: 'b' }]],
    ['a=', [{ field: 'a', operator: '=', value: '' }]],
    ['a=b\\,c', [{ field: 'a', operator: '=', value: 'b,c' }]],
    ['a=b\\=\\\\', [{ field: 'a', operator: '=', value: 'b=\\' }]],
    [
      'b=1,a=2',
      [
        { field: 'a', operator: '=', value: '2' },
        { field: 'b', operator: '=', value: '1' },
      ],
    ],
  ])('%j', (text, expected) => {
    expect(parseFieldSelector(text)).toEqual(expected);
  });

  test.each(['a', 'a,b=c', 'a=b=c', 'a=b\\', 'a=b\\c', 'a===b'])('%j is refused', (text) => {
    expect(() => parseFieldSelector(text)).toThrow(StatusError);
  });

  test('matching', () => {
    const fields = { 'metadata.name': 'x' };
    expect(matchesFields(parseFieldSelector('metadata.name=x'), fields)).toBe(true);
    expect(matchesFields(parseFieldSelector('metadata.name!=x'), fields)).toBe(false);
    expect(matchesFields(parseFieldSelector('metadata.namespace='), fields)).toBe(true);
    expect(exactFieldValue(parseFieldSelector('metadata.name!=x'), 'metadata.name')).toBeUndefined();
    expect(exactFieldValue(parseFieldSelector('metadata.name==x'), 'metadata.name')).toBe('x');
  });
});
