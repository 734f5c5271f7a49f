import { describe, expect, test } from 'vitest';
import { applyJsonPatch, parseJsonPatch } from './json-patch.ts';
import { parseJsonText } from './json-text.ts';
import { applyMergePatch } from './merge-patch.ts';
import { parseYamlText } from './yaml-text.ts';

const apply = (document: unknown, patch: unknown) => applyJsonPatch(document, parseJsonPatch(patch));

describe('RFC 6902, with the examples of its appendix', () => {
  test.each([
    [{ foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { foo: 'bar', baz: 'qux' }],
    [{ foo: ['bar', 'baz'] }, [{ op: 'add', path: '/foo/1', value: 'qux' }], { foo: ['bar', 'qux', 'baz'] }],
    [{ baz: 1, foo: 2 }, [{ op: 'remove', path: '/baz' }], { foo: 2 }],
    [{ foo: [1, 2, 3] }, [{ op: 'remove', path: '/foo/1' }], { foo: [1, 3] }],
    [{ baz: 1 }, [{ op: 'replace', path: '/baz', value: 'boo' }], { baz: 'boo' }],
    [{ a: { b: 1 }, c: {} }, [{ op: 'move', from: '/a/b', path: '/c/d' }], { a: {}, c: { d: 1 } }],
    [{ a: [1, 2, 3, 4] }, [{ op: 'move', from: '/a/1', path: '/a/3' }], { a: [1, 3, 4, 2] }],
    [{ a: { b: 1 } }, [{ op: 'copy', from: '/a', path: '/c' }], { a: { b: 1 }, c: { b: 1 } }],
    [{ foo: ['bar'] }, [{ op: 'add', path: '/foo/-', value: ['abc'] }], { foo: ['bar', ['abc']] }],
    [{ '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: 10 }], { '/': 9, '~1': 10 }],
    [{ a: 1 }, [{ op: 'add', path: '', value: { b: 2 } }], { b: 2 }],
    [{ '': 1 }, [{ op: 'replace', path: '/', value: 2 }], { '': 2 }],
    [{ a: null }, [{ op: 'test', path: '/a', value: null }], { a: null }],
  ])('%j %j', (document, patch, result) => {
    const before = structuredClone(document);
    expect(apply(document, patch)).toEqual(result);
    expect(document).toEqual(before);
  });

  test.each([
    [{ a: 1 }, { op: 'add', path: '/x/y', value: 1 }],
    [{ a: [] }, { op: 'add', path: '/a/1', value: 1 }],
    [{ a: [1] }, { op: 'replace', path: '/a/-', value: 1 }],
    [{ a: [1] }, { op: 'replace', path: '/a/01', value: 1 }],
    [{ a: [1] }, { op: 'remove', path: '/a/-1' }],
    [{ a: 1 }, { op: 'replace', path: '/b', value: 1 }],
    [{ a: 1 }, { op: 'remove', path: '/b' }],
    [{ a: 'text' }, { op: 'add', path: '/a/length', value: 1 }],
    [{ a: 1 }, { op: 'copy', from: '/toString', path: '/b' }],
    [{ a: 1 }, { op: 'test', path: '/constructor', value: {} }],
    [{ a: { b: 1 } }, { op: 'move', from: '/a', path: '/a/b/c' }],
    [{ a: [{}, {}] }, { op: 'move', from: '/a/0', path: '/a/0/x' }],
    [{ a: 1 }, { op: 'test', path: '/a', value: '1' }],
  ])('%j %j does not fit', (document, operation) => {
    expect(() => apply(document, [operation])).toThrow('the server rejected our request');
  });

  test.each([
    [{ op: 'add', path: 'a', value: 1 }, 'no path'],
    [{ op: 'add', path: '/a~2', value: 1 }, 'no path'],
    [{ op: 'add', path: '/a' }, 'no value'],
    [{ op: 'move', path: '/a' }, 'no from'],
    [{ path: '/a' }, 'unknown op'],
    ['x', 'is no object'],
  ])('%j is no operation', (operation, message) => {
    expect(() => parseJsonPatch([operation])).toThrow(message);
  });

  test('copies that double a document again and again are stopped', () => {
    const doubling = Array.from({ length: 40 }, (_, at) => ({ op: 'copy', from: '', path: `/c${at}` }));
    const started = performance.now();
    expect(() => apply({ text: 'x'.repeat(1000) }, doubling)).toThrow('rejected');
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(apply({ a: 1 }, doubling.slice(0, 3))).toHaveProperty('c2.c1.c0.a', 1);
  });
});

test.each([
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: 'foo' }, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  [['a'], { a: 1 }, { a: 1 }],
])('RFC 7386: %j %j', (target, patch, result) => {
  expect(applyMergePatch(target, patch)).toEqual(result);
});

test.each([
  ['{"a":1,"b":{"a":2}}', []],
  ['{"a":1,"a":2}', ['a']],
  ['{"a":{"b":[{"c":1},{"c":1,"c":2}]}}', ['a.b[1].c']],
  ['{"a":"\\"a\\":{","b":"}","a":1}', ['a']],
  ['{"a\\u0062":1,"ab":2}', ['ab']],
  ['["a","a"]', []],
  ['{"a":"a","b":"a"}', []],
])('what stands twice in %s', (text, duplicates) => {
  expect(parseJsonText(text)).toEqual({ value: JSON.parse(text) as unknown, duplicateFields: duplicates });
});

test.each(['', '{', '}', ']]', '{"a"}', '"', '{"a":1}}', "{'a':1}", 'nul', '{"a":"\n"}'])(
  '%j is no JSON',
  (text) => {
    expect(() => parseJsonText(text)).toThrow('invalid JSON');
  },
);

test('YAML: what stands twice, keys that are no words, times that stay texts', () => {
  expect(parseYamlText('a: 1\nb:\n- c: 1\n  c: 2\na: 2\nt: 2026-01-01\n')).toEqual({
    value: { a: 2, b: [{ c: 2 }], t: '2026-01-01' },
    duplicateFields: ['b[0].c', 'a'],
  });
  expect(() => parseYamlText('? [a, b]\n: 1\n')).toThrow('key');
  expect(() => parseYamlText('__proto__: {a: 1}\n')).toThrow('__proto__');
  expect(() => parseYamlText('a: [')).toThrow('invalid YAML');
});
