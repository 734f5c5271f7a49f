/** Figures of several rounds in one. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/**
 * The value below which the part `q` (0 to 1) of the values lies, between neighbours where it falls between them.
 * NaN when there are no values.
 */
export function quantile(values: ArrayLike<number>, q: number): number {
  const sorted = Float64Array.from(values).sort();
  const place = (sorted.length - 1) * q;
  const low = sorted[Math.floor(place)] ?? Number.NaN;
  const high = sorted[Math.ceil(place)] ?? Number.NaN;
  return low + (high - low) * (place - Math.floor(place));
}

/** Median, least and most. NaN each when there are no values. */
export function spreadOf(values: readonly number[]): Spread {
  return { median: quantile(values, 0.5), least: quantile(values, 0), most: quantile(values, 1) };
}

/**
 * How two series of the same rounds compare: the quotients of each round, so that what disturbed a round disturbs both of its
 * sides. Rounds that lack one of the two, or where the second is 0, are left out.
 */
export function ratioOf(
  values: readonly (number | undefined)[],
  references: readonly (number | undefined)[],
): Spread {
  const quotients = values.flatMap((value, round) => {
    const reference = references[round];
    return value === undefined || reference === undefined || reference === 0 ? [] : [value / reference];
  });
  return spreadOf(quotients);
}
