/** What a head says that its stream must keep to. */
export interface CheckedHead {
  /** Bytes that `content-length` promises; -1: none are promised. */
  readonly contentLength: number;
}

/** RFC 9110 5.6.2, without upper-case letters (RFC 9113 8.2.1). */
const namePattern = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** RFC 9113 8.2.1: neither NUL nor line ends, and as nghttp2 no other control character but a tab. */
const badValue = /[^\t\x20-\x7e\x80-\xff]|^[ \t]|[ \t]$/;
const methodPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const badTarget = /[^\x21-\xff]/;
const statusPattern = /^[1-9][0-9][0-9]$/;
const lengthPattern = /^[0-9]{1,15}$/;
const colon = 58;

/** Of one connection; HTTP/2 has its own means for all of them (RFC 9113 8.2.2). */
export const connectionNames: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/** Names that were found good, which are the same few for ever: bounded, because a peer makes them up. */
const goodNames = new Set<string>();
const mostGoodNames = 4096;

export const nothingPromised: CheckedHead = { contentLength: -1 };

/**
 * Says whether the head of a request is well formed (RFC 9113 8.2, 8.3); undefined: it is not, and nobody may act on it.
 */
export function checkRequestHead(lines: readonly string[]): CheckedHead | undefined {
  let method: string | undefined;
  let scheme: string | undefined;
  let path: string | undefined;
  let authority: string | undefined;
  let at = 0;
  for (; at < lines.length && lines[at]?.charCodeAt(0) === colon; at += 2) {
    const value = lines[at + 1] ?? '';
    const name = lines[at];
    if (name === ':method' && method === undefined && methodPattern.test(value)) method = value;
    else if (name === ':scheme' && scheme === undefined && value !== '') scheme = value;
    else if (name === ':path' && path === undefined && value !== '' && !badTarget.test(value)) path = value;
    else if (name === ':authority' && authority === undefined && !badValue.test(value)) authority = value;
    else return undefined;
  }
  // CONNECT has neither scheme nor path (RFC 9113 8.5), and nothing here would know what to do with it.
  if (method === undefined || method === 'CONNECT' || scheme === undefined || path === undefined)
    return undefined;
  return checkFields(lines, at);
}

/** The same of an answer's head; `status` is what it says. */
export function checkResponseHead(
  lines: readonly string[],
): (CheckedHead & { readonly status: number }) | undefined {
  if (lines[0] !== ':status' || !statusPattern.test(lines[1] ?? '')) return undefined;
  const head = checkFields(lines, 2);
  return head && { contentLength: head.contentLength, status: Number(lines[1]) };
}

/** The same of the lines behind a body, among which no pseudo header may be (RFC 9113 8.1). */
export function checkTrailers(lines: readonly string[]): boolean {
  return checkFields(lines, 0) !== undefined;
}

function checkFields(lines: readonly string[], from: number): CheckedHead | undefined {
  let length: string | undefined;
  let hosts = 0;
  for (let at = from; at < lines.length; at += 2) {
    const name = lines[at] ?? '';
    const value = lines[at + 1] ?? '';
    if (!isGoodName(name) || badValue.test(value)) return undefined;
    if (name === 'content-length') {
      if (length !== undefined || !lengthPattern.test(value)) return undefined;
      length = value;
    } else if (name === 'te') {
      if (value.toLowerCase() !== 'trailers') return undefined;
    } else if (name === 'host') {
      if ((hosts += 1) > 1) return undefined;
    } else if (connectionNames.has(name)) return undefined;
  }
  return length === undefined ? nothingPromised : { contentLength: Number(length) };
}

function isGoodName(name: string): boolean {
  if (goodNames.has(name)) return true;
  if (!namePattern.test(name)) return false;
  if (goodNames.size < mostGoodNames && name.length <= 64) goodNames.add(name);
  return true;
}
