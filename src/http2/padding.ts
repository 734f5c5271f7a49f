import { Http2ConnectionError, errorCode } from './frame.ts';

/** RFC 9113 6.1: the first byte says how many there are at the end. */
export function withoutPadding(payload: Buffer): Buffer {
  const padding = payload[0];
  if (padding === undefined || padding >= payload.length)
    throw new Http2ConnectionError(errorCode.protocolError, 'more padding than there is');
  return payload.subarray(1, payload.length - padding);
}
