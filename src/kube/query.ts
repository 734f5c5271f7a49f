/** More parameters than this are refused, as Go's net/url does: parsing them costs more than any request is worth. */
const MAX_PARAMETERS = 10_000;

/** The parameters of a query, as Go's `url.Query()` sees them. Keys are case-sensitive; values keep their order. */
export class QueryParameters {
  /**
   * Some pairs could not be read (a bad escape, a semicolon, too many) and are missing. kube-apiserver goes on without
   * them; whoever sends the raw query elsewhere must not, or the next reader may see what was not authorized.
   */
  readonly malformed: boolean;
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>, malformed: boolean) {
    this.#values = values;
    this.malformed = malformed;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The first value, which is the one that Kubernetes' parameter decoding takes. */
  first(name: string): string | undefined {
    return this.#values.get(name)?.[0];
  }

  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** A boolean as Kubernetes reads it: absent, `0` and `false` are false, anything else is true, the empty string too. */
  flag(name: string): boolean {
    const value = this.first(name);
    return value !== undefined && value !== '0' && value.toLowerCase() !== 'false';
  }
}

const noParameters = new QueryParameters(new Map(), false);

/** Parses a raw query (without the `?`). Never throws: see {@link QueryParameters.malformed}. */
export function parseQuery(raw: string): QueryParameters {
  if (raw === '') return noParameters;
  const values = new Map<string, string[]>();
  const pairs = raw.split('&', MAX_PARAMETERS + 1);
  if (pairs.length > MAX_PARAMETERS) return new QueryParameters(values, true);
  let malformed = false;
  for (const pair of pairs) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const key = unescapeQuery(equals < 0 ? pair : pair.slice(0, equals));
    const value = unescapeQuery(equals < 0 ? '' : pair.slice(equals + 1));
    if (key === undefined || value === undefined || pair.includes(';')) {
      malformed = true;
      continue;
    }
    const known = values.get(key);
    if (known) known.push(value);
    else values.set(key, [value]);
  }
  return new QueryParameters(values, malformed);
}

/** Bytes that are no UTF-8 become U+FFFD, as they do when Go puts them into JSON. */
function unescapeQuery(text: string): string | undefined {
  const spaced = text.replaceAll('+', ' ');
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    return percentDecode(spaced)?.toString('utf8');
  }
}

/** The bytes that a percent-encoded text stands for; undefined for a bad escape. */
export function percentDecode(text: string): Buffer | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'utf8');
  let length = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0x25) {
      bytes[length++] = Number.parseInt(bytes.toString('latin1', at + 1, at + 3), 16);
      at += 2;
    } else bytes[length++] = byte;
  }
  return bytes.subarray(0, length);
}

/** Splits a request target at its first `?`; the query is without it. */
export function splitTarget(target: string): { readonly rawPath: string; readonly rawQuery: string } {
  const mark = target.indexOf('?');
  return mark < 0
    ? { rawPath: target, rawQuery: '' }
    : { rawPath: target.slice(0, mark), rawQuery: target.slice(mark + 1) };
}
