import { Failure } from '../base/failure.ts';
import { connectionNames } from '../http2/message-check.ts';
import type { OutgoingRequest } from './transport.ts';

/** RFC 9110 §5.5: no control characters but tab; above 0xff would be cut to a byte, which may become a line feed. */
const badValue = /[^\t\x20-\x7e\x80-\xff]/;
const badTarget = /[^\x21-\xff]/;

/**
 * Past this, nghttp2 would end the session with all its streams, which belong to other callers. kube-apiserver itself
 * takes 1 MiB.
 */
const maxHeaderBytes = 1_000_000;

/** RFC 9110 §5.6.2. */
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Of the names of one connection; an upgrade alone may say them. */
const upgradeNames = new Set(['connection', 'upgrade']);

/** What was found of names, which are the same few for ever; bounded, as callers make them up. */
const knownNames = new Map<string, 'good' | 'upgrade'>();
const mostKnownNames = 4096;

/**
 * Refuses what must not go on the wire: a line feed or a zero byte in a value would be another header to some servers.
 */
export function checkRequest(request: OutgoingRequest, { isUpgrade = false } = {}): void {
  const { headers, target, authority } = request;
  if (!token.test(request.method)) throw new Failure('refused', 'net/http: invalid method');
  if (badTarget.test(target) || (target[0] !== '/' && target !== '*'))
    throw new Failure('refused', 'net/http: invalid request target');
  if (badValue.test(authority)) throw new Failure('refused', 'net/http: invalid host');
  let bytes = target.length;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] ?? '';
    const value = headers[at + 1] ?? '';
    bytes += name.length + value.length + 32;
    const kind = knownNames.get(name) ?? kindOf(name);
    if (kind === undefined || (kind === 'upgrade' && !isUpgrade))
      throw new Failure('refused', `net/http: invalid header field name ${JSON.stringify(name)}`);
    if (badValue.test(value))
      throw new Failure('refused', `net/http: invalid header field value for ${JSON.stringify(name)}`);
  }
  if (bytes > maxHeaderBytes)
    throw new Failure('too-large', `the header of the request is larger than ${maxHeaderBytes} bytes`);
}

function kindOf(name: string): 'good' | 'upgrade' | undefined {
  const lower = name.toLowerCase();
  if (!token.test(name) || (connectionNames.has(lower) && !upgradeNames.has(lower))) return undefined;
  const kind = upgradeNames.has(lower) ? 'upgrade' : 'good';
  if (knownNames.size < mostKnownNames && name.length <= 64) knownNames.set(name, kind);
  return kind;
}
