const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Go's time.Duration ends here: about 292 years. */
const maxMs = 2 ** 63 / 1e6;

/**
 * A duration as Go's time.ParseDuration reads it (`1m30s`, `-.5h`), in milliseconds. Throws an Error with Go's text.
 */
export function parseGoDuration(text: string): number {
  const invalid = () => new Error(`time: invalid duration ${JSON.stringify(text)}`);
  const sign = text.startsWith('-') ? -1 : 1;
  let rest = text.replace(/^[-+]/, '');
  if (rest === '0') return 0;
  if (rest === '') throw invalid();
  let total = 0;
  while (rest !== '') {
    const [matched, amount = ''] = /^(\d+\.?\d*|\.\d+)/.exec(rest) ?? [];
    if (matched === undefined) throw invalid();
    rest = rest.slice(matched.length);
    const [unit = ''] = /^[^\d.]*/.exec(rest) ?? [];
    if (unit === '') throw new Error(`time: missing unit in duration ${JSON.stringify(text)}`);
    const ms = Object.hasOwn(unitMs, unit) ? unitMs[unit] : undefined;
    if (ms === undefined)
      throw new Error(`time: unknown unit ${JSON.stringify(unit)} in duration ${JSON.stringify(text)}`);
    rest = rest.slice(unit.length);
    total += Number(amount) * ms;
  }
  if (total > maxMs) throw invalid();
  return total === 0 ? 0 : sign * total;
}
