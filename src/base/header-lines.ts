/**
 * HTTP header lines as name, value, name, value …: order and duplicates kept. Values are latin1 strings, one
 * character a byte, as Node reads and writes them.
 */
export type HeaderLines = readonly string[];

/** The value of the first line of that name (lower case), as Go's Header.Get. */
export function firstHeader(lines: HeaderLines, name: string): string | undefined {
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const candidate = lines[i];
    if (candidate?.length === name.length && candidate.toLowerCase() === name) return lines[i + 1];
  }
  return undefined;
}

/** The values of all lines of that name (lower case), in order. */
export function allHeaders(lines: HeaderLines, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const candidate = lines[i];
    if (candidate?.length === name.length && candidate.toLowerCase() === name)
      values.push(lines[i + 1] ?? '');
  }
  return values;
}

/** The comma-separated members of all lines of that name, trimmed and in lower case: for Connection and its like. */
export function headerTokens(lines: HeaderLines, name: string): string[] {
  return allHeaders(lines, name)
    .flatMap((value) => value.split(','))
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== '');
}

// eslint-disable-next-line no-control-regex -- every character outside ASCII is meant
const nonAscii = /[^\x00-\x7f]/;

/** Header bytes read as UTF-8: Node gives one latin1 character a byte. */
export function decodeHeaderText(value: string): string {
  return nonAscii.test(value) ? Buffer.from(value, 'latin1').toString('utf8') : value;
}

/** The opposite of `decodeHeaderText`: text as UTF-8 bytes, one latin1 character each. */
export function encodeHeaderText(value: string): string {
  return nonAscii.test(value) ? Buffer.from(value, 'utf8').toString('latin1') : value;
}
