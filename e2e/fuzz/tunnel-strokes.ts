import { encodePacket } from '../../src/tunnel/packet-codec.ts';
import type { Packet } from '../../src/tunnel/packet.ts';
import { withPrefix } from '../../src/tunnel/testing/packet-schema.ts';
import { RandomPackets } from '../../src/tunnel/testing/random-packets.ts';

/** Which side of the tunnel it is that does not keep to the protocol. */
export const parts = ['frontend', 'agent', 'server'] as const;
export type Part = (typeof parts)[number];

/** Numbers that mean something to the other side at present. */
export interface Live {
  /** Dials that it has asked for, or that we have. */
  readonly dialIds: bigint[];
  readonly connectIds: number[];
}

/** What may be done next on a stream. */
export type Stroke =
  | { readonly type: 'message'; readonly bytes: Buffer; readonly packet?: Packet }
  /** Bytes that are no message, or a part of one. */
  | { readonly type: 'wrong'; readonly bytes: Buffer }
  /** Bytes of the connection beside its frames. */
  | { readonly type: 'torn'; readonly bytes: Buffer }
  | { readonly type: 'pause' }
  | { readonly type: 'read'; readonly reads: boolean }
  | { readonly type: 'end'; readonly how: 'END_STREAM' | 'RST_STREAM' | 'FIN' | 'destroy' };

/** Chooses, the same for the same seed: mostly what a program could send, with numbers that are in use. */
export class Strokes {
  readonly random: RandomPackets;
  /** Where connections may lead; the agent under test dials nothing else. */
  readonly #addresses: readonly string[];

  constructor(seed: number, addresses: readonly string[]) {
    this.random = new RandomPackets(seed, 40_000);
    this.#addresses = addresses;
  }

  next(part: Part, live: Live): Stroke {
    const kind = this.random.below(200);
    if (kind < 150) return this.#message(this.#sensible(part, live));
    if (kind < 170) return this.#message(this.random.next());
    if (kind < 174) return { type: 'wrong', bytes: this.#mutated(encodePacket(this.#sensible(part, live))) };
    if (kind === 174) return { type: 'torn', bytes: this.random.bytes(1 + this.random.below(40)) };
    if (kind < 188) return { type: 'pause' };
    if (kind < 194) return { type: 'read', reads: this.random.below(2) === 0 };
    return { type: 'end', how: this.of(['END_STREAM', 'RST_STREAM', 'FIN', 'destroy'] as const) };
  }

  /** What a session of a part begins with that asks for connections. */
  first(): Stroke {
    return this.#message({
      ...{ type: 'DIAL_REQ', protocol: 'tcp', address: this.of(this.#addresses) },
      dialId: BigInt(this.random.below(2 ** 30)),
    });
  }

  of<T>(values: readonly [T, ...T[]] | readonly T[]): T {
    return values[this.random.below(values.length)] as T;
  }

  #message(packet: Packet): Stroke {
    return { type: 'message', bytes: encodePacket(packet), packet };
  }

  #sensible(part: Part, live: Live): Packet {
    const connectId = this.#connectId(live);
    const dialId = live.dialIds.length > 0 ? this.of(live.dialIds) : 1n;
    const kinds = this.#kindsOf(part);
    const type = this.of(kinds);
    switch (type) {
      case 'DIAL_REQ':
        return {
          ...{ type, protocol: 'tcp', address: this.of(this.#addresses) },
          dialId: BigInt(this.random.below(2 ** 30)),
        };
      case 'DIAL_RSP':
        return this.random.below(4) === 0
          ? { type, error: 'dial tcp: no', connectId: 0, dialId }
          : { type, error: '', connectId: 1 + this.random.below(8), dialId };
      case 'DATA': {
        const length = this.random.below(3) === 0 ? 40_000 : 200;
        return { type, connectId, error: '', data: this.random.bytes(this.random.below(length)) };
      }
      case 'CLOSE_RSP':
        return { type, connectId, error: this.random.below(2) === 0 ? '' : 'closed' };
      case 'DIAL_CLS':
        return { type, dialId };
      case 'DRAIN':
        return { type };
      default:
        return { type, connectId };
    }
  }

  #kindsOf(part: Part) {
    if (part === 'frontend') return ['DIAL_REQ', 'DATA', 'DATA', 'DATA', 'CLOSE_REQ', 'DIAL_CLS'] as const;
    if (part === 'server')
      return [
        'DIAL_REQ',
        'DIAL_REQ',
        'DATA',
        'DATA',
        'DATA',
        'CLOSE_REQ',
        'DIAL_CLS',
        'PAUSE',
        'RESUME',
      ] as const;
    return [
      'DIAL_RSP',
      'DIAL_RSP',
      'DATA',
      'DATA',
      'DATA',
      'CLOSE_RSP',
      'DRAIN',
      'PAUSE',
      'RESUME',
      'DIAL_CLS',
    ] as const;
  }

  #connectId({ connectIds }: Live): number {
    return connectIds.length > 0 && this.random.below(20) > 0 ? this.of(connectIds) : this.random.below(10);
  }

  #mutated(message: Buffer): Buffer {
    const at = this.random.below(message.length);
    switch (this.random.below(6)) {
      case 0: {
        const changed = Buffer.from(message);
        changed[at] = this.random.below(256);
        return changed;
      }
      case 1:
        return message.subarray(0, at);
      case 2:
        return Buffer.concat([
          message.subarray(0, at),
          this.random.bytes(1 + this.random.below(9)),
          message.subarray(at),
        ]);
      case 3:
        return Buffer.concat([message.subarray(0, at), message.subarray(at + 1)]);
      case 4: {
        // A length that is not that of the message.
        const changed = Buffer.from(message);
        changed.writeUInt32BE(this.of([0, 1, message.length, 65_536, 2 ** 22, 2 ** 22 + 1, 2 ** 32 - 1]), 1);
        return changed;
      }
      default:
        return withPrefix(this.random.bytes(this.random.below(60)), this.of([0, 0, 0, 1, 255]));
    }
  }
}
