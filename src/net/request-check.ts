import { Failure } from '../base/failure.ts';
import type { OutgoingRequest } from './transport.ts';

/** RFC 9110 §5.5: no control characters but tab; above 0xff would be cut to a byte, which may become a line feed. */
const badValue = /[^\t\x20-\x7e\x80-\xff]/;
const badTarget = /[^\x21-\xff]/;
const method = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/**
 * Past this, nghttp2 would end the session with all its streams, which belong to other callers. kube-apiserver itself
 * takes 1 MiB.
 */
const maxHeaderBytes = 1_000_000;

/**
 * Refuses what must not go on the wire: HTTP/2 in Node sends any value as it is, so a line feed or a zero byte in one
 * would be another header. Names are checked by Node.
 */
export function checkRequest(request: OutgoingRequest): void {
  const { headers, target, authority } = request;
  if (!method.test(request.method)) throw new Failure('refused', 'net/http: invalid method');
  if (badTarget.test(target) || (target[0] !== '/' && target !== '*'))
    throw new Failure('refused', 'net/http: invalid request target');
  if (badValue.test(authority)) throw new Failure('refused', 'net/http: invalid host');
  let bytes = target.length;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] ?? '';
    const value = headers[at + 1] ?? '';
    bytes += name.length + value.length + 32;
    if (name.charCodeAt(0) === 58 /* : */ || badValue.test(value))
      throw new Failure('refused', `net/http: invalid header field value for ${JSON.stringify(name)}`);
  }
  if (bytes > maxHeaderBytes)
    throw new Failure('too-large', `the header of the request is larger than ${maxHeaderBytes} bytes`);
}
