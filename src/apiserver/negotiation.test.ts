import { describe, expect, test } from 'vitest';
import { accepts, isPretty, negotiate, negotiateDiscovery } from './negotiation.ts';

const table = (version: string) => `application/json;as=Table;v=${version};g=meta.k8s.io`;
const asTable = (version: string) => ({ format: 'json', transform: { kind: 'Table', version } });
const plain = { format: 'json', transform: undefined };
const yaml = { format: 'yaml', transform: undefined };

describe('negotiate', () => {
  test.each([
    [undefined, plain],
    ['', plain],
    ['*/*', plain],
    ['application/*', plain],
    ['application/json', plain],
    ['APPLICATION/JSON', plain],
    ['application/yaml', yaml],
    ['application/json;q=0.5, application/yaml', yaml],
    ['application/yaml;q=0.5, application/json', plain],
    ['*/*, application/yaml', yaml],
    ['text/html, application/yaml;q=0.9, */*;q=0.1', yaml],
    ['application/vnd.kubernetes.protobuf,application/json', plain],
    [`${table('v1')},${table('v1beta1')},application/json`, asTable('v1')],
    [`${table('v1beta1')},application/json`, asTable('v1beta1')],
    [`${table('v2')},application/json`, plain],
    ['application/json;as=Table;v=v1;g=other.io, application/json', plain],
    ['application/json;as=Table;g=meta.k8s.io;v="v1"', asTable('v1')],
    ['application/json ; as = Table ; v = v1 ; g = meta.k8s.io', asTable('v1')],
    ['application/json;stream=watch', plain],
    ['application/json;charset=utf-8', plain],
  ])('%j', (header, expected) => {
    expect(negotiate(header, { stream: false })).toEqual(expected);
  });

  test.each([
    'text/html',
    'application/json;q=0',
    'json',
    'application/json/x',
    'application/vnd.kubernetes.protobuf',
    table('v2'),
  ])('%j is 406', (header) => {
    expect(() => negotiate(header, { stream: false })).toThrow('application/json, application/yaml');
  });

  test('a stream is JSON', () => {
    expect(negotiate('application/json;as=Table;v=v1;g=meta.k8s.io', { stream: true })).toEqual(
      asTable('v1'),
    );
    expect(() => negotiate('application/yaml', { stream: true })).toThrow('only the following');
  });
});

describe('negotiateDiscovery', () => {
  const of = (version: string) =>
    `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
  test.each([
    [undefined, undefined],
    ['*/*', undefined],
    ['application/json', undefined],
    [of('v2'), 'v2'],
    [of('v2beta1'), 'v2beta1'],
    [`${of('v2')},${of('v2beta1')},application/json`, 'v2'],
    [`${of('v3')},application/json`, undefined],
    ['application/json;as=Other;g=apidiscovery.k8s.io;v=v2,application/json', undefined],
  ])('%j', (header, expected) => {
    expect(negotiateDiscovery(header)).toBe(expected);
  });
  test('nothing of ours is 406', () => {
    expect(() => negotiateDiscovery('text/plain')).toThrow('only the following');
  });
});

test('accepts', () => {
  expect(accepts(undefined, 'application/json')).toBe(true);
  expect(accepts('text/plain, */*;q=0.1', 'application/json')).toBe(true);
  expect(accepts('text/*', 'application/json')).toBe(false);
});

test('isPretty', () => {
  expect(isPretty('true', undefined)).toBe(true);
  expect(isPretty('yes', 'curl/8')).toBe(false);
  expect(isPretty('', 'Mozilla/5.0 (X11)')).toBe(true);
  expect(isPretty(undefined, 'kubectl/v1')).toBe(false);
});
