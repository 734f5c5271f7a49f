import type { Duplex } from 'node:stream';

/** Where a byte stream leads to. `host` is a DNS name or an IP address without brackets. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * Opens a byte stream to an address: direct TCP, through a proxy or through a tunnel. Rejects with a `Failure`
 * (`unreachable`, `refused`, `timeout`, `cancelled`); never leaves a socket behind when it rejects.
 */
export type Dial = (address: Address, signal: AbortSignal) => Promise<Duplex>;

/**
 * An event of a dialled stream: its way ends before long, as its tunnel's server or agent stops, and there may be another.
 * Bytes go on as before until then.
 */
export const wayEnds = 'wayEnds';
