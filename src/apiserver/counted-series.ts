import { Counter } from 'prom-client';
import type { Metric, Registry } from 'prom-client';

/*
 * What is counted in every request. prom-client finds a series by a text that it makes of sorted labels each time, which
 * costs more than all the rest of counting; here a series is found once and counted by an addition, and prom-client is
 * told when somebody asks for the metrics.
 */

/** One series of a counter. */
export interface Count {
  inc(): void;
}

export interface CountedSeries<Label extends string> {
  /** The series with these labels; to be kept by whoever counts. */
  series(labels: Readonly<Record<Label, string>>): Count;
  /** Forgets a series. */
  remove(labels: Readonly<Record<Label, string>>): void;
}

class AddedCount implements Count {
  value = 0;
  told = 0;

  inc(): void {
    this.value += 1;
  }
}

interface SeriesOptions<Label extends string> {
  readonly registry: Registry;
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
}

export function createCounter<Label extends string>(options: SeriesOptions<Label>): CountedSeries<Label> {
  const { registry, name, help, labelNames } = options;
  const counts = new Map<string, { readonly labels: Readonly<Record<Label, string>>; count: AddedCount }>();
  const keyOf = (labels: Readonly<Record<Label, string>>) =>
    JSON.stringify(labelNames.map((label) => labels[label]));
  const counter = new Counter<Label>({
    ...{ name, help, labelNames, registers: [registry] },
    collect() {
      for (const { labels, count } of counts.values()) {
        if (count.value > count.told) this.inc(labels, count.value - count.told);
        count.told = count.value;
      }
    },
  });
  return {
    series: (labels) => {
      const key = keyOf(labels);
      const known = counts.get(key)?.count;
      if (known) return known;
      const count = new AddedCount();
      counts.set(key, { labels, count });
      return count;
    },
    remove: (labels) => {
      counts.delete(keyOf(labels));
      counter.remove(labels);
    },
  };
}

/** One series of a histogram. */
export interface Observations {
  observe(value: number): void;
}

export function createHistogram<Label extends string>(
  options: SeriesOptions<Label> & { readonly buckets: readonly number[] },
): { series(labels: Readonly<Record<Label, string>>): Observations } {
  const { registry, name, help, buckets } = options;
  const all: { readonly labels: Readonly<Record<Label, string>>; readonly seen: BucketedValues }[] = [];
  const metric = {
    name,
    get: () =>
      Promise.resolve({
        ...{ name, help, type: 'histogram', aggregator: 'sum' },
        values: all.flatMap(({ labels, seen }) => seen.samples(name, labels)),
      }),
    reset: () => void all.splice(0),
  };
  // prom-client's types know its own classes; what it calls is this.
  registry.registerMetric(metric as unknown as Metric);
  return {
    series: (labels) => {
      const seen = new BucketedValues(buckets);
      all.push({ labels, seen });
      return seen;
    },
  };
}

class BucketedValues implements Observations {
  readonly #bounds: readonly number[];
  /** Values up to each bound and above the one before; the last one is of what is above all of them. */
  readonly #counts: number[];
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = [...bounds, Infinity].map(() => 0);
  }

  observe(value: number): void {
    let at = 0;
    while (value > (this.#bounds[at] ?? Infinity)) at += 1;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sum += value;
  }

  samples(name: string, labels: Readonly<Record<string, string>>) {
    let total = 0;
    const bounds = [...this.#bounds.map(String), '+Inf'];
    const inBuckets = bounds.map((le, at) => {
      total += this.#counts[at] ?? 0;
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: total };
    });
    return [
      ...inBuckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: total },
    ];
  }
}
