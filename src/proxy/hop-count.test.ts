import { describe, expect, test } from 'vitest';
import type { StatusError } from '../kube/status.ts';
import { HOPS_HEADER, nextHop } from './hop-count.ts';

const code = (lines: readonly string[]) => {
  try {
    return nextHop(lines, 'foo');
  } catch (error) {
    return (error as StatusError).status.code;
  }
};
const hops = (...values: readonly string[]) => values.flatMap((value) => ['X-Cluster-Gateway-Hops', value]);

describe('the number of gateways on the way', () => {
  test.each([
    [[], '1'],
    [['x', '4'], '1'],
    [hops('0'), '1'],
    [hops('1'), '2'],
    [hops('4'), '5'],
    [hops(' 4 '), '5'],
    [hops('5'), 508],
    [hops('6'), 508],
    [hops('99999999999999999999999999'), 508],
    // Whoever adds a line makes the number no smaller.
    [hops('3', '0'), '4'],
    [hops('0', '3'), '4'],
    [hops('3, 0'), '4'],
    [hops('0', '5'), 508],
    // Nominated by Connection or not: it is read before anything is dropped.
    [['Connection', HOPS_HEADER, ...hops('5')], 508],
    [hops(''), 400],
    [hops('-1'), 400],
    [hops('1e0'), 400],
    [hops('0x1'), 400],
    [hops('3', 'x'), 400],
    [hops('1,'), 400],
  ])('%j: %s', (lines, wanted) => {
    expect(code(lines)).toBe(wanted);
  });

  test('the refusal names the cluster', () => {
    expect(() => nextHop(hops('5'), 'foo')).toThrow(/5 times: the endpoint of cluster "foo"/);
  });
});
