export interface ReceiveCreditOptions {
  /** How far a peer may send ahead on all streams together. */
  readonly windowBytes: number;
  /** Bytes that came and that nobody has read: beyond it the peer gets no credit until somebody reads. */
  readonly maxUnreadBytes: number;
  /** Tells the peer that it may send so many bytes more. */
  readonly give: (bytes: number) => void;
}

/**
 * What a peer may send over a connection. Credit goes back as bytes come, not as they are read: a stream whose reader
 * stopped must not keep the others waiting, and has a window of its own.
 */
export class ReceiveCredit {
  readonly #options: ReceiveCreditOptions;
  #window: number;
  /** Bytes that came since credit was last given. */
  #owed = 0;
  #unread = 0;

  constructor(options: ReceiveCreditOptions) {
    this.#options = options;
    this.#window = options.windowBytes;
  }

  /** False: the peer sent more than it may. */
  take(bytes: number): boolean {
    this.#window -= bytes;
    this.#owed += bytes;
    return this.#window >= 0;
  }

  /** Of what came, so much is kept for somebody. */
  keep(bytes: number): void {
    this.#unread += bytes;
  }

  read(bytes: number): void {
    this.#unread -= bytes;
    this.giveBack();
  }

  giveBack(): void {
    const { windowBytes, maxUnreadBytes, give } = this.#options;
    if (this.#unread > maxUnreadBytes || this.#owed * 2 < windowBytes) return;
    this.#window += this.#owed;
    give(this.#owed);
    this.#owed = 0;
  }
}
