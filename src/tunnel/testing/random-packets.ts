import { seededRandom } from '../../http2/testing/hpack-random.ts';
import { packetNumbers } from '../packet.ts';
import type { KnownPacket } from './packet-schema.ts';

const connectIds = [0, 1, 127, 128, 16_383, 16_384, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 52, 2 ** 53 - 1];
const dialIds = [0n, 1n, 127n, 128n, 2n ** 53n, 2n ** 63n - 1n, -1n, -(2n ** 63n)];
const texts = ['', 'tcp', 'cluster1:443', 'dial tcp 127.0.0.1:1: connect: connection refused', 'Zürich ☃ 😀'];
const types = Object.keys(packetNumbers) as (keyof typeof packetNumbers)[];

/** Packets that are the same in every run, edges of their numbers among them. */
export class RandomPackets {
  readonly random: () => number;
  readonly #largestData: number;

  constructor(seed: number, largestData = 3_000) {
    this.random = seededRandom(seed);
    this.#largestData = largestData;
  }

  below(count: number): number {
    return Math.floor(this.random() * count);
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at += 1) bytes[at] = this.below(256);
    return bytes;
  }

  next(): KnownPacket {
    const type = this.#of(types);
    switch (type) {
      case 'DIAL_REQ':
        return { type, protocol: this.#text(), address: this.#text(), dialId: this.#dialId() };
      case 'DIAL_RSP':
        return { type, error: this.#text(), connectId: this.#connectId(), dialId: this.#dialId() };
      case 'CLOSE_RSP':
        return { type, error: this.#text(), connectId: this.#connectId() };
      case 'DATA':
        return { type, connectId: this.#connectId(), error: this.#rareText(), data: this.#data() };
      case 'DIAL_CLS':
        return { type, dialId: this.#dialId() };
      case 'DRAIN':
        return { type };
      default:
        return { type, connectId: this.#connectId() };
    }
  }

  /** A whole cut into pieces, some of them of one byte. */
  cut(whole: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    for (let at = 0; at < whole.length;) {
      const length = this.random() < 0.5 ? 1 + this.below(8) : 1 + this.below(2_000);
      pieces.push(Buffer.from(whole.subarray(at, at + length)));
      at += length;
    }
    return pieces;
  }

  #of<T>(values: readonly [T, ...T[]] | readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  #text(): string {
    return this.random() < 0.1 ? 'x'.repeat(this.below(400)) : this.#of(texts);
  }

  #rareText(): string {
    return this.random() < 0.8 ? '' : this.#text();
  }

  #connectId(): number {
    return this.random() < 0.5 ? this.#of(connectIds) : Math.floor(2 ** (this.random() * 53));
  }

  #dialId(): bigint {
    if (this.random() < 0.5) return this.#of(dialIds);
    return BigInt.asIntN(64, (BigInt(this.below(2 ** 32)) << 32n) | BigInt(this.below(2 ** 32)));
  }

  #data(): Buffer {
    const kind = this.random();
    if (kind < 0.1) return Buffer.alloc(0);
    return this.bytes(kind < 0.6 ? this.below(40) : this.below(this.#largestData));
  }
}
