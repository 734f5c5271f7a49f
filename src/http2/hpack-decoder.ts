import { HpackError } from './hpack-error.ts';
import { huffmanDecode } from './huffman.ts';
import { firstDynamicIndex, staticNames, staticValues } from './static-table.ts';

export { HpackError } from './hpack-error.ts';

export interface HpackDecoderOptions {
  /** The SETTINGS_HEADER_TABLE_SIZE that the peer was told. */
  readonly maxTableBytes: number;
  /** The most that a header list may be, counted as RFC 9113 §6.5.2 says: 32 bytes a field on top of its text. */
  readonly maxListBytes: number;
}

/** What a field costs beside its text, in lists and in tables. */
const fieldBytes = 32;
/** RFC 9113 §6.5.2: the size of a table that nobody has spoken of. */
const initialTableBytes = 4096;
const maxInteger = 2 ** 31 - 1;
const noBlock: Buffer = Buffer.alloc(0);

/** The reading end of HPACK (RFC 7541) of one connection. After an `HpackError` it is of no use any more. */
export class HpackDecoder {
  readonly #options: HpackDecoderOptions;
  #block = noBlock;
  #at = 0;
  // The dynamic table: rings whose length is a power of two, and the slot that the next entry takes.
  #names: string[] = new Array<string>(64).fill('');
  #values: string[] = new Array<string>(64).fill('');
  #next = 0;
  #count = 0;
  #tableBytes = 0;
  /** What the peer uses of the table. It starts with 4096 also where we told it less: it may not have read that yet. */
  #tableLimit = initialTableBytes;

  constructor(options: HpackDecoderOptions) {
    this.#options = options;
  }

  /**
   * The header list of a whole block as name, value, name, value …, in order, pseudo fields and duplicates included,
   * latin1 strings of one character a byte; nothing in it is checked. Undefined when the list is larger than
   * `maxListBytes`: the table is in step all the same. Throws an `HpackError` on a malformed block.
   */
  decode(block: Buffer): string[] | undefined {
    this.#block = block;
    this.#at = 0;
    try {
      return this.#readFields();
    } finally {
      this.#block = noBlock;
    }
  }

  #readFields(): string[] | undefined {
    this.#readSizeUpdates();
    const block = this.#block;
    let lines: string[] | undefined = [];
    let room = this.#options.maxListBytes;
    while (this.#at < block.length) {
      const byte = block[this.#at++] ?? 0;
      let name: string;
      let value: string;
      if (byte >= 0x80) {
        const index = byte === 0xff ? this.#readInteger(0x7f) : byte & 0x7f;
        name = this.#nameAt(index);
        value = this.#valueAt(index);
      } else if (byte >= 0x40) {
        name = this.#readName(byte & 0x3f, 0x3f);
        value = this.#readString();
        this.#insert(name, value);
      } else if (byte >= 0x20) {
        throw new HpackError('hpack: a table size update after the start of a block');
      } else {
        name = this.#readName(byte & 0x0f, 0x0f);
        value = this.#readString();
      }
      room -= name.length + value.length + fieldBytes;
      // What is too much is read for the sake of the table only: a byte can stand for an entry of the whole table.
      if (room < 0) lines = undefined;
      else lines?.push(name, value);
    }
    return lines;
  }

  /** RFC 7541 §4.2: two at most, the smallest since the last block and the final one, before all fields. */
  #readSizeUpdates(): void {
    for (let updates = 0; ; updates += 1) {
      const byte = this.#block[this.#at];
      if (byte === undefined || byte < 0x20 || byte >= 0x40) return;
      if (updates === 2) throw new HpackError('hpack: more than two table size updates');
      this.#at += 1;
      const bytes = byte === 0x3f ? this.#readInteger(0x1f) : byte & 0x1f;
      if (bytes > this.#options.maxTableBytes) throw new HpackError('hpack: a table larger than allowed');
      this.#tableLimit = bytes;
      this.#evictTo(bytes);
    }
  }

  /** The rest of an integer whose prefix was full. */
  #readInteger(prefix: number): number {
    let value = prefix;
    for (let factor = 1; factor <= 2 ** 28; factor *= 128) {
      const byte = this.#block[this.#at++];
      if (byte === undefined) throw new HpackError('hpack: a block ends within an integer');
      value += (byte & 0x7f) * factor;
      if (byte >= 0x80) continue;
      if (value > maxInteger) break;
      return value;
    }
    throw new HpackError('hpack: an integer is too large');
  }

  #readName(bits: number, prefix: number): string {
    if (bits === 0) return this.#readString();
    return this.#nameAt(bits === prefix ? this.#readInteger(prefix) : bits);
  }

  #readString(): string {
    const block = this.#block;
    const byte = block[this.#at++];
    if (byte === undefined) throw new HpackError('hpack: a block ends before a string');
    const bits = byte & 0x7f;
    const length = bits === 0x7f ? this.#readInteger(0x7f) : bits;
    const start = this.#at;
    const end = start + length;
    if (end > block.length) throw new HpackError('hpack: a block ends within a string');
    this.#at = end;
    return byte >= 0x80 ? huffmanDecode(block, start, end) : block.toString('latin1', start, end);
  }

  #nameAt(index: number): string {
    if (index >= firstDynamicIndex) return this.#names[this.#slotOf(index)] ?? '';
    if (index === 0) throw new HpackError('hpack: the index 0');
    return staticNames[index] ?? '';
  }

  #valueAt(index: number): string {
    if (index >= firstDynamicIndex) return this.#values[this.#slotOf(index)] ?? '';
    return staticValues[index] ?? '';
  }

  #slotOf(index: number): number {
    const age = index - firstDynamicIndex;
    if (age >= this.#count) throw new HpackError('hpack: an index past the end of the table');
    return (this.#next - 1 - age) & (this.#names.length - 1);
  }

  #insert(name: string, value: string): void {
    const bytes = name.length + value.length + fieldBytes;
    this.#evictTo(this.#tableLimit - bytes);
    // RFC 7541 §4.4: not an error, it leaves an empty table.
    if (bytes > this.#tableLimit) return;
    if (this.#count === this.#names.length) this.#grow();
    this.#names[this.#next] = name;
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) & (this.#names.length - 1);
    this.#count += 1;
    this.#tableBytes += bytes;
  }

  #evictTo(bytes: number): void {
    while (this.#tableBytes > bytes && this.#count > 0) {
      const slot = (this.#next - this.#count) & (this.#names.length - 1);
      this.#tableBytes -= fieldBytes + (this.#names[slot] ?? '').length + (this.#values[slot] ?? '').length;
      this.#names[slot] = this.#values[slot] = '';
      this.#count -= 1;
    }
  }

  /** Called when all slots are taken: puts the oldest entry first and as many free slots behind. */
  #grow(): void {
    const first = this.#next;
    const turn = (ring: readonly string[]): string[] => [
      ...ring.slice(first),
      ...ring.slice(0, first),
      ...ring.map(() => ''),
    ];
    this.#next = this.#count;
    this.#names = turn(this.#names);
    this.#values = turn(this.#values);
  }
}
