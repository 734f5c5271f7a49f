import { firstDynamicIndex, staticNames, staticValues } from './static-table.ts';

export interface HpackEncoderOptions {
  /** The most that we use of the table that the peer offers. */
  readonly maxTableBytes?: number;
}

/** The three literals of RFC 7541 §6.2, by their first byte. */
const [withIndexing, withoutIndexing, neverIndexed] = [0x40, 0x00, 0x10];

/** Names whose values hardly come twice: each would push out what does. */
const uniqueNames = [
  ':path',
  'age',
  'audit-id',
  'content-length',
  'content-range',
  'etag',
  'if-modified-since',
  'if-none-match',
  'last-modified',
  'location',
  'range',
  'traceparent',
  'x-forwarded-uri',
];

/**
 * Secrets of others that an attacker who adds fields to the same connection could guess by the length of what is sent
 * (RFC 7541 §7.1). `authorization` is not one of them: callers' lines are dropped before, those that come here are the
 * gateway's own credentials, too random to be guessed in parts as a table compares whole values only, and 1 KB a
 * request would be most of the bytes.
 */
const secretNames = ['cookie', 'proxy-authorization', 'set-cookie'];

const literals = new Map<string, number>([
  ...uniqueNames.map((name) => [name, withoutIndexing] as const),
  ...secretNames.map((name) => [name, neverIndexed] as const),
]);

const fieldBytes = 32;
const initialTableBytes = 4096;
const initialScratchBytes = 4096;
/** A scratch buffer above this is not kept for the next block. */
const maxKeptBytes = 65_536;
/** Spellings of names that are remembered beside as many as the table could hold. */
const spareNames = 512;
const maxNameLength = 64;
const maxStaticValueLength = Math.max(...staticValues.map((value) => value.length));
// eslint-disable-next-line no-control-regex -- every character outside latin1 is meant
const nonLatin1 = /[^\x00-\xff]/;

/** A name in lower case and where it stands in the tables. Places are static indexes, or serials of entries above. */
class Name {
  readonly text: string;
  readonly literal: number;
  readonly staticIndex: number;
  readonly places = new Map<string, number>();
  /** The serial of the newest entry of that name, 0 for none. */
  newest = 0;

  constructor(text: string) {
    this.text = text;
    // A long name is nothing that comes again.
    this.literal = text.length > maxNameLength ? withoutIndexing : (literals.get(text) ?? withIndexing);
    this.staticIndex = Math.max(staticNames.indexOf(text), 0);
    for (let index = this.staticIndex; index > 0 && staticNames[index] === text; index += 1) {
      const value = staticValues[index] ?? '';
      this.places.set(value, index);
    }
  }
}

/** Entries are linked from the oldest to the newest: they leave in that order. */
interface Entry {
  readonly name: Name;
  readonly value: string;
  readonly serial: number;
  next: Entry | undefined;
}

/** The writing end of HPACK (RFC 7541) of one connection. */
export class HpackEncoder {
  readonly #maxTableBytes: number;
  readonly #maxNames: number;
  /** By any spelling. */
  readonly #names = new Map<string, Name>();
  #oldest: Entry | undefined;
  #newest: Entry | undefined;
  #nextSerial = firstDynamicIndex;
  #tableBytes = 0;
  #tableLimit: number;
  /** The smallest limit since the last block, when the peer has to be told. */
  #lowestLimit: number | undefined;
  #scratch = Buffer.allocUnsafeSlow(initialScratchBytes);
  #at = 0;

  constructor(options: HpackEncoderOptions = {}) {
    this.#maxTableBytes = options.maxTableBytes ?? initialTableBytes;
    this.#maxNames = spareNames + this.#maxTableBytes / fieldBytes;
    this.#tableLimit = initialTableBytes;
    this.setPeerTableBytes(initialTableBytes);
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. The next block begins by saying what became of it (RFC 7541 §4.2). */
  setPeerTableBytes(bytes: number): void {
    const limit = Math.min(bytes, this.#maxTableBytes);
    if (limit === this.#tableLimit) return;
    this.#tableLimit = limit;
    this.#lowestLimit = Math.min(limit, this.#lowestLimit ?? limit);
    this.#evictTo(limit);
  }

  /**
   * The block of lines of name, value, name, value …, latin1 strings of one character a byte; names are sent in lower
   * case. It is a view of a buffer that the next call overwrites. Throws a `TypeError` on a character outside latin1,
   * and the table of both ends is then empty.
   */
  encode(lines: readonly string[]): Buffer {
    this.#at = 0;
    if (this.#scratch.length > maxKeptBytes) this.#scratch = Buffer.allocUnsafeSlow(initialScratchBytes);
    if (this.#lowestLimit !== undefined) this.#writeSizeUpdates(this.#lowestLimit);
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const spelling = lines[i] ?? '';
      const value = lines[i + 1] ?? '';
      const name = this.#names.get(spelling) ?? this.#findName(spelling);
      const place = this.#placeOf(name, value);
      if (place === undefined) this.#writeLiteral(name, value);
      else this.#writeIndexed(place);
    }
    return this.#scratch.subarray(0, this.#at);
  }

  #writeSizeUpdates(lowest: number): void {
    this.#lowestLimit = undefined;
    if (lowest < this.#tableLimit) this.#writeInteger(0x20, 0x1f, lowest);
    this.#writeInteger(0x20, 0x1f, this.#tableLimit);
  }

  #placeOf(name: Name, value: string): number | undefined {
    // Saves hashing a value that can only be in the static table, and is too long for that.
    if (name.literal !== withIndexing && value.length > maxStaticValueLength) return undefined;
    return name.places.get(value);
  }

  #writeIndexed(place: number): void {
    this.#reserve(fieldBytes);
    this.#writeInteger(0x80, 0x7f, this.#indexOf(place));
  }

  #writeLiteral(name: Name, value: string): void {
    if (nonLatin1.test(value)) this.#refuse(name.text);
    const bytes = name.text.length + value.length + fieldBytes;
    this.#reserve(bytes);
    const insert = name.literal === withIndexing && bytes * 2 <= this.#tableLimit;
    const index = name.staticIndex !== 0 ? name.staticIndex : this.#indexOf(name.newest);
    if (insert) this.#writeInteger(withIndexing, 0x3f, index);
    // One that is too large for the table is without indexing instead.
    else this.#writeInteger(name.literal & neverIndexed, 0x0f, index);
    if (index === 0) this.#writeString(name.text);
    this.#writeString(value);
    if (insert) this.#insert(name, value, bytes);
  }

  /** RFC 7541 §5.1; `first` holds the bits above the prefix. */
  #writeInteger(first: number, prefix: number, value: number): void {
    const scratch = this.#scratch;
    if (value < prefix) {
      scratch[this.#at++] = first | value;
      return;
    }
    scratch[this.#at++] = first | prefix;
    let rest = value - prefix;
    for (; rest >= 0x80; rest >>>= 7) scratch[this.#at++] = rest | 0x80;
    scratch[this.#at++] = rest;
  }

  /** Never as Huffman code: that takes 150 to 600 ns for 36 to 99 bytes, this 30 ns, and what is long is mostly indexed. */
  #writeString(text: string): void {
    this.#writeInteger(0, 0x7f, text.length);
    this.#at += this.#scratch.write(text, this.#at, 'latin1');
  }

  /** Makes room for a field of so many bytes, its integers included. */
  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#scratch.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#scratch.length));
    this.#scratch.copy(larger, 0, 0, this.#at);
    this.#scratch = larger;
  }

  #indexOf(place: number): number {
    if (place < firstDynamicIndex) return place;
    return firstDynamicIndex + this.#nextSerial - 1 - place;
  }

  #insert(name: Name, value: string, bytes: number): void {
    this.#evictTo(this.#tableLimit - bytes);
    const entry: Entry = { name, value, serial: this.#nextSerial++, next: undefined };
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.next = entry;
    this.#newest = entry;
    this.#tableBytes += bytes;
    name.places.set(value, entry.serial);
    name.newest = entry.serial;
  }

  #evictTo(bytes: number): void {
    while (this.#oldest !== undefined && this.#tableBytes > bytes) {
      const { name, value, serial, next } = this.#oldest;
      this.#tableBytes -= name.text.length + value.length + fieldBytes;
      name.places.delete(value);
      if (name.newest === serial) name.newest = 0;
      this.#oldest = next;
    }
    if (this.#oldest === undefined) this.#newest = undefined;
  }

  /** The name of a spelling that was not seen before. */
  #findName(spelling: string): Name {
    const text = spelling.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
    const name = this.#names.get(text) ?? new Name(text);
    if (nonLatin1.test(text)) this.#refuse(text);
    if (text.length > maxNameLength) return name;
    if (this.#names.size >= this.#maxNames) this.#forgetNames();
    this.#names.set(text, name);
    this.#names.set(spelling, name);
    return name;
  }

  /** Keeps the names of the table only, lest its entries be there twice. */
  #forgetNames(): void {
    this.#names.clear();
    for (let entry = this.#oldest; entry !== undefined; entry = entry.next) {
      this.#names.set(entry.name.text, entry.name);
    }
  }

  /** A block that is given up has entries that the peer will not see: both start again with an empty table. */
  #refuse(name: string): never {
    this.#evictTo(0);
    this.#lowestLimit = 0;
    throw new TypeError(`hpack: a character outside latin1 in the header ${JSON.stringify(name)}`);
  }
}
