import { validateHeaderName, validateHeaderValue } from 'node:http';
import type { IncomingHttpHeaders, OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http';
import type { HeaderLines } from '../base/header-lines.ts';

/** What a request may say once: of several lines Node's http takes the first, too. */
const firstCounts = new Set([
  'age',
  'authorization',
  'content-length',
  'content-type',
  'etag',
  'expires',
  'from',
  'host',
  'if-modified-since',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'referer',
  'retry-after',
  'server',
  'user-agent',
]);

/** About a connection of HTTP/1.1: an answer that has one is malformed over HTTP/2 (RFC 9113 8.2.2). */
const ofConnection = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/** Header lines (names in lower case) as the object that Node's `IncomingMessage` makes of them. */
export function headersObject(lines: HeaderLines, authority: string): IncomingHttpHeaders {
  // Without a prototype, as Node's own for HTTP/2: `__proto__` is a name like others.
  const headers = Object.create(null) as IncomingHttpHeaders;
  for (let i = 0; i + 1 < lines.length; i += 2) addLine(headers, lines[i] ?? '', lines[i + 1] ?? '');
  if (headers.host === undefined && authority !== '') headers.host = authority;
  return headers;
}

function addLine(headers: IncomingHttpHeaders, name: string, value: string): void {
  if (name === 'set-cookie') {
    (headers['set-cookie'] ??= []).push(value);
    return;
  }
  const before = headers[name];
  if (before === undefined) headers[name] = value;
  else if (!firstCounts.has(name))
    headers[name] = `${String(before)}${name === 'cookie' ? '; ' : ', '}${value}`;
}

export type HeaderValue = number | string | readonly string[];

/** The headers of an answer until they are sent. Every method that takes some throws as Node's do. */
export class AnswerHeaders {
  readonly #values = new Map<string, HeaderValue>();

  get(name: string): HeaderValue | undefined {
    return this.#values.get(name.toLowerCase());
  }

  has(name: string): boolean {
    return this.#values.has(name.toLowerCase());
  }

  names(): string[] {
    return [...this.#values.keys()];
  }

  set(name: string, value: HeaderValue | undefined): void {
    this.#store(checked(name, value));
  }

  append(name: string, value: HeaderValue | undefined): void {
    const [key, added] = checked(name, value);
    const before = this.#values.get(key);
    this.#store([key, before === undefined ? added : [before, added].flat().map(String)]);
  }

  remove(name: string): void {
    this.#values.delete(name.toLowerCase());
  }

  /** What `writeHead` is given, on top of what there is. All of it or, where it throws, nothing. */
  merge(headers: OutgoingHttpHeaders | readonly OutgoingHttpHeader[]): void {
    if (!isList(headers)) {
      const pairs = Object.entries(headers).map(([name, value]) => checked(name, value));
      for (const pair of pairs) this.#store(pair);
      return;
    }
    const pairs = pairsOf(headers);
    for (const [key] of pairs) this.#values.delete(key);
    for (const [key, value] of pairs) this.append(key, value);
  }

  lines(): string[] {
    return linesOf(this.#values);
  }

  #store([key, value]: readonly [string, HeaderValue]): void {
    if (!ofConnection.has(key)) this.#values.set(key, value);
  }
}

/** As lines with names in lower case, for an answer before the final one. Throws as Node's do. */
export function checkedLines(headers: OutgoingHttpHeaders): string[] {
  const pairs = Object.entries(headers).map(([name, value]) => checked(name, value));
  return linesOf(pairs.filter(([key]) => !ofConnection.has(key)));
}

const isList = (
  headers: OutgoingHttpHeaders | readonly OutgoingHttpHeader[],
): headers is readonly OutgoingHttpHeader[] => Array.isArray(headers);

function linesOf(pairs: Iterable<readonly [string, HeaderValue]>): string[] {
  const lines: string[] = [];
  for (const [key, value] of pairs) {
    if (typeof value === 'object') for (const each of value) lines.push(key, each);
    else lines.push(key, String(value));
  }
  return lines;
}

/** A flat list, or a list of pairs: Node takes both. */
function pairsOf(headers: readonly OutgoingHttpHeader[]): (readonly [string, HeaderValue])[] {
  const flat = Array.isArray(headers[0]) ? headers.flat() : headers;
  if (flat.length % 2 !== 0)
    throw Object.assign(new TypeError('a list of headers has a value for each name'), {
      code: 'ERR_INVALID_ARG_VALUE',
    });
  const pairs: (readonly [string, HeaderValue])[] = [];
  for (let i = 0; i < flat.length; i += 2) pairs.push(checked(String(flat[i]), flat[i + 1]));
  return pairs;
}

/** Throws where Node's own objects would; callers are not all TypeScript. */
function checked(name: string, value: HeaderValue | undefined): readonly [string, HeaderValue] {
  validateHeaderName(name);
  // Node's type says string; what it does with undefined is to throw.
  if (value === undefined) validateHeaderValue(name, value as unknown as string);
  const text = Array.isArray(value) ? value.map(String) : String(value);
  for (const each of [text].flat()) validateHeaderValue(name, each);
  return [name.toLowerCase(), typeof value === 'number' ? value : text];
}
