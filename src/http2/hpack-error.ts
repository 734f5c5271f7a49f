/** A header block that RFC 7541 forbids. The tables of both ends may differ from here on: the connection has to end. */
export class HpackError extends Error {
  override readonly name = 'HpackError';
}
