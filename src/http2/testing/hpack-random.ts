/** Numbers from 0 to below 1 that are the same in every run (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const knownNames = [
  ...[
    'accept',
    'accept-encoding',
    'age',
    'audit-id',
    'authorization',
    'cache-control',
    'content-type',
    'cookie',
  ],
  ...['etag', 'impersonate-group', 'impersonate-user', 'referer', 'traceparent', 'user-agent', 'via'],
  ...['x-forwarded-for', 'x-remote-group', 'x-remote-user'],
];

/** Header fields as a peer may send them: known and other names, values that come again, doubled, empty, long, not ASCII. */
export class RandomFields {
  readonly random: () => number;
  readonly #seen: string[] = [];

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  below(count: number): number {
    return Math.floor(this.random() * count);
  }

  lines(): string[] {
    const lines: string[] = [];
    for (let fields = this.below(25); fields > 0; fields -= 1) {
      const again = this.#seen.length > 0 && this.random() < 0.6;
      const at = 2 * this.below(this.#seen.length / 2);
      const field = again ? this.#seen.slice(at, at + 2) : [this.#name(), this.#value()];
      if (!again) this.#seen.push(...field);
      lines.push(...field);
    }
    if (this.#seen.length > 120) this.#seen.splice(0, 60);
    return lines;
  }

  #name(): string {
    const known = knownNames[this.below(2 * knownNames.length)];
    return known ?? `x-${'n'.repeat(this.below(this.random() < 0.1 ? 90 : 20))}${this.below(30)}`;
  }

  #value(): string {
    const kind = this.random();
    if (kind < 0.1) return '';
    const length = kind < 0.9 ? 1 + this.below(60) : 1 + this.below(3000);
    const [first, count] = kind < 0.3 ? [0x80, 128] : [0x21, 94];
    const codes = Array.from({ length }, (_, i) =>
      i > 0 && i < length - 1 && this.random() < 0.05 ? 0x20 : first + this.below(count),
    );
    return String.fromCharCode(...codes);
  }
}
