/** A message that is not one of protobuf's (https://protobuf.dev/programming-guides/encoding). */
export class MalformedMessage extends Error {}

export const wireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Reads the fields of a message one after the other, without copying any. */
export class FieldReader {
  /** Of the field that was begun last. */
  number = 0;
  wire = 0;
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;

  constructor(bytes: Buffer, from = 0, to = bytes.length) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = to;
  }

  /** Begins the next field; false: there is none. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    const tag = this.#small();
    this.number = Math.floor(tag / 8);
    this.wire = tag % 8;
    if (this.number === 0) throw new MalformedMessage('a field without a number');
    return true;
  }

  /** A varint as a number: what does not fit one exactly is refused. */
  integer(): number {
    const value = this.#varint();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new MalformedMessage('a number out of range');
    return Number(value);
  }

  /** An int64. */
  bigint(): bigint {
    return BigInt.asIntN(64, this.#varint());
  }

  /** An enum or another int32: of longer varints the low 32 bits count. */
  int32(): number {
    return Number(BigInt.asIntN(32, this.#varint()));
  }

  bytes(): Buffer {
    const length = this.#small();
    const from = this.#at;
    if (length > this.#end - from) throw new MalformedMessage('a field that is longer than its message');
    this.#at = from + length;
    return this.#bytes.subarray(from, this.#at);
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  message(): FieldReader {
    const part = this.bytes();
    return new FieldReader(part);
  }

  skip(): void {
    switch (this.wire) {
      case wireType.varint:
        this.#varint();
        return;
      case wireType.fixed64:
        this.#forward(8);
        return;
      case wireType.bytes:
        this.bytes();
        return;
      case wireType.fixed32:
        this.#forward(4);
        return;
      default:
        // Groups (3, 4) have been out of use since proto3, and are in no message that this program knows.
        throw new MalformedMessage('a field of an unknown wire type');
    }
  }

  #forward(bytes: number): void {
    this.#at += bytes;
    if (this.#at > this.#end) throw new MalformedMessage('a field that is longer than its message');
  }

  #byte(): number {
    const byte = this.#at < this.#end ? this.#bytes[this.#at] : undefined;
    if (byte === undefined) throw new MalformedMessage('a message that is cut');
    this.#at += 1;
    return byte;
  }

  /** A tag or a length: 32 bits. */
  #small(): number {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * shift;
      if (value > 0xffffffff) throw new MalformedMessage('a tag or length out of range');
      if (byte < 0x80) return value;
      if (shift > 2 ** 28) throw new MalformedMessage('a varint that does not end');
    }
  }

  #varint(): bigint {
    const first = this.#byte();
    if (first < 0x80) return BigInt(first);
    let value = BigInt(first & 0x7f);
    for (let shift = 7n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new MalformedMessage('a varint that does not end');
  }
}

/** How many bytes a non-negative safe integer takes as a varint. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length += 1;
  return length;
}

/** Writes a non-negative safe integer; gives where it ends. */
export function writeVarint(into: Uint8Array, at: number, value: number): number {
  let rest = value;
  let place = at;
  while (rest >= 128) {
    into[place++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  into[place++] = rest;
  return place;
}

/** Writes small messages field by field; what has its default is left out, as proto3 does. */
export class FieldWriter {
  readonly #parts: number[] = [];

  integer(field: number, value: number): this {
    if (value !== 0) this.#tag(field, wireType.varint).#number(value);
    return this;
  }

  /** An int64: negative ones take ten bytes. */
  bigint(field: number, value: bigint): this {
    if (value === 0n) return this;
    this.#tag(field, wireType.varint);
    let rest = BigInt.asUintN(64, value);
    while (rest >= 128n) {
      this.#parts.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.#parts.push(Number(rest));
    return this;
  }

  text(field: number, value: string): this {
    return value === '' ? this : this.bytes(field, Buffer.from(value));
  }

  /** A field that is there even when it is empty: a message, or bytes that were asked for. */
  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, wireType.bytes).#number(value.length);
    for (const byte of value) this.#parts.push(byte);
    return this;
  }

  finish(): Buffer {
    return Buffer.from(this.#parts);
  }

  #tag(field: number, wire: number): this {
    return this.#number(field * 8 + wire);
  }

  #number(value: number): this {
    let rest = value;
    while (rest >= 128) {
      this.#parts.push((rest % 128) + 128);
      rest = Math.floor(rest / 128);
    }
    this.#parts.push(rest);
    return this;
  }
}
