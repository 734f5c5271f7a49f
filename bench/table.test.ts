import { expect, test } from 'vitest';

import { formatRow } from './table.ts';

test('a row shows medians, spread and ratios, and why a peer is missing', () => {
  const text = formatRow({
    number: 1,
    title: 'small GET',
    metrics: [
      { key: 'cpu', title: 'µs CPU' },
      { key: 'p99', title: 'p99 ms', digits: 2 },
    ],
    peers: [
      { name: 'ours', samples: [{ cpu: 100, p99: 1 }, { cpu: 120, p99: 2 }, undefined] },
      {
        name: 'go',
        samples: [
          { cpu: 200, p99: 4 },
          { cpu: 300, p99: 4 },
          { cpu: 900, p99: 4 },
        ],
      },
      { name: 'node', samples: [undefined, undefined, undefined], trouble: 'status codes: 0 2xx' },
      { name: 'limit', samples: [], trouble: 'haproxy is not installed' },
    ],
  });
  expect(text.split('\n')).toEqual([
    'row 1: small GET',
    '               µs CPU  ÷ Go            p99 ms  ÷ Go',
    '  ours  110 (100–120)  0.45  1.50 (1.00–2.00)  0.38',
    '  go    300 (200–900)        4.00 (4.00–4.00)',
    '  node: status codes: 0 2xx',
    '  limit: haproxy is not installed',
  ]);
});

test('what is a ratio already has none', () => {
  const text = formatRow({
    number: 2,
    title: 'tunnel',
    metrics: [
      { key: 'direct', title: '÷ no tunnel', digits: 1, incomparable: true },
      { key: 'rate', title: 'requests/s' },
    ],
    peers: [
      { name: 'ours', samples: [{ direct: 1.5, rate: 30 }] },
      { name: 'go', samples: [{ direct: 9, rate: 10 }] },
    ],
  });
  expect(text.split('\n').slice(1, 3)).toEqual([
    '          ÷ no tunnel  requests/s  ÷ Go',
    '  ours  1.5 (1.5–1.5)  30 (30–30)  3.00',
  ]);
});

test('without the Go gateway there are no ratios', () => {
  const text = formatRow({
    number: 3,
    title: 'list',
    metrics: [{ key: 'rate', title: 'MB/s' }],
    peers: [{ name: 'ours', samples: [{ rate: 400.4 }] }],
  });
  expect(text).toContain('400 (400–400)');
  expect(text).not.toContain('NaN');
});
