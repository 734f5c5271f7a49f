/** One DER value (ITU-T X.690) inside a larger one. */
export interface DerValue {
  /** The identifier octet: class, constructed bit and number. */
  readonly tag: number;
  readonly content: Uint8Array;
}

export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  octetString: 0x04,
  objectIdentifier: 0x06,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The values that follow each other in `bytes`. Throws on anything that is not whole and definite DER. */
export function readDerValues(bytes: Uint8Array): DerValue[] {
  const values: DerValue[] = [];
  for (let offset = 0; offset < bytes.length;) {
    const tag = byteAt(bytes, offset);
    if ((tag & 0x1f) === 0x1f) throw new Error('DER: tag numbers above 30 are not known here');
    const { start, length } = readLength(bytes, offset + 1);
    const end = start + length;
    if (end > bytes.length) throw new Error('DER: a value is longer than what holds it');
    values.push({ tag, content: bytes.subarray(start, end) });
    offset = end;
  }
  return values;
}

/** The values inside a constructed value that must have this tag. */
export function readDerInside(value: DerValue | undefined, tag: number): DerValue[] {
  return readDerValues(derContent(value, tag));
}

/** The content of a value that must have this tag. */
export function derContent(value: DerValue | undefined, tag: number): Uint8Array {
  if (value?.tag !== tag) throw new Error(`DER: expected tag ${tag}, found ${value?.tag ?? 'nothing'}`);
  return value.content;
}

/** An object identifier in dotted form. */
export function readObjectIdentifier(value: DerValue | undefined): string {
  const arcs: bigint[] = [];
  let arc = 0n;
  let open = false;
  for (const byte of derContent(value, derTag.objectIdentifier)) {
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    open = (byte & 0x80) !== 0;
    if (open) continue;
    arcs.push(arc);
    arc = 0n;
  }
  const [first, ...rest] = arcs;
  if (first === undefined || open) throw new Error('DER: an object identifier is cut off');
  // The first two arcs share one number (X.690 §8.19.4).
  const root = first < 80n ? first / 40n : 2n;
  return [root, first - root * 40n, ...rest].join('.');
}

function readLength(bytes: Uint8Array, offset: number): { start: number; length: number } {
  const first = byteAt(bytes, offset);
  if (first < 0x80) return { start: offset + 1, length: first };
  const count = first & 0x7f;
  // 0x80 is BER's indefinite length; four octets are more than any certificate needs.
  if (count === 0 || count > 4) throw new Error('DER: a length is not definite or too long');
  let length = 0;
  for (let index = 1; index <= count; index++) length = length * 256 + byteAt(bytes, offset + index);
  return { start: offset + 1 + count, length };
}

function byteAt(bytes: Uint8Array, offset: number): number {
  const byte = bytes[offset];
  if (byte === undefined) throw new Error('DER: the data ends inside a value');
  return byte;
}
