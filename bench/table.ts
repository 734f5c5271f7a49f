import type { Metric } from './row.ts';
import type { PeerResult } from './rounds.ts';
import { ratioOf, spreadOf } from './statistics.ts';

/** One row with what all peers came to. */
export interface RowResult {
  readonly number: number;
  readonly title: string;
  readonly metrics: readonly Metric[];
  readonly peers: readonly PeerResult[];
}

/** Who the ratios are to. */
const reference = 'go';

/**
 * A row as text: for each peer and figure the median, least and most of the rounds, and the ratio to the Go gateway, which is
 * the median of the ratios of the rounds.
 */
export function formatRow({ number, title, metrics, peers }: RowResult): string {
  const head = ['', ...metrics.flatMap((metric) => withRatio(metric, metric.title, '÷ Go'))];
  const go = peers.find(({ name }) => name === reference);
  const lines = peers
    .filter(({ samples }) => samples.some((sample) => sample !== undefined))
    .map((peer) => [
      peer.name,
      ...metrics.flatMap((metric) => withRatio(metric, figure(peer, metric), ratio(peer, go, metric))),
    ]);
  const troubles = peers.flatMap(({ name, trouble }) =>
    trouble === undefined ? [] : [`  ${name}: ${trouble}`],
  );
  return [`row ${number}: ${title}`, ...columns([head, ...lines]), ...troubles].join('\n');
}

function withRatio({ incomparable }: Metric, text: string, ratioText: string): string[] {
  return incomparable === true ? [text] : [text, ratioText];
}

function figure(peer: PeerResult, { key, digits = 0 }: Metric): string {
  const values = series(peer, key).filter((value) => value !== undefined);
  if (values.length === 0) return '–';
  const { median, least, most } = spreadOf(values);
  return `${median.toFixed(digits)} (${least.toFixed(digits)}–${most.toFixed(digits)})`;
}

function ratio(peer: PeerResult, go: PeerResult | undefined, { key }: Metric): string {
  if (go === undefined || peer === go) return '';
  const { median } = ratioOf(series(peer, key), series(go, key));
  return Number.isNaN(median) ? '' : median.toFixed(2);
}

function series({ samples }: PeerResult, key: string): (number | undefined)[] {
  return samples.map((sample) => sample?.[key]);
}

/** The first column to the left, all others to the right. */
function columns(lines: readonly (readonly string[])[]): string[] {
  const count = Math.max(...lines.map((line) => line.length));
  const widths = Array.from({ length: count }, (_, i) =>
    Math.max(...lines.map((line) => (line[i] ?? '').length)),
  );
  return lines.map((line) => {
    const cells = line.map((cell, i) =>
      i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0),
    );
    return `  ${cells.join('  ')}`.trimEnd();
  });
}
