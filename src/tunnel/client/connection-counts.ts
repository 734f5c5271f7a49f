/**
 * `created`: no server has been asked yet; `dialing`: one has; `ok`: bytes go both ways; `closing`: the end waits to be
 * confirmed.
 */
export const connectionStatuses = ['created', 'dialing', 'ok', 'closing'] as const;
export type ConnectionStatus = (typeof connectionStatuses)[number];

/** How many connections there are through a tunnel, by status. */
export class ConnectionCounts {
  readonly #counts = new Map<ConnectionStatus, number>();
  #onNone: (() => void) | undefined;

  of(status: ConnectionStatus): number {
    return this.#counts.get(status) ?? 0;
  }

  get total(): number {
    let total = 0;
    for (const count of this.#counts.values()) total += count;
    return total;
  }

  /** Resolves when there is none. */
  async none(): Promise<void> {
    while (this.total > 0)
      await new Promise<void>((resolve) => {
        this.#onNone = resolve;
      });
  }

  begin(): CountedConnection {
    return new CountedConnection((status, by) => {
      this.#counts.set(status, this.of(status) + by);
      if (by < 0 && this.total === 0) this.#onNone?.();
    });
  }
}

/** One of them, from its dial to its end. */
export class CountedConnection {
  readonly #count: (status: ConnectionStatus, by: 1 | -1) => void;
  #status: ConnectionStatus | undefined = 'created';

  constructor(count: (status: ConnectionStatus, by: 1 | -1) => void) {
    this.#count = count;
    count('created', 1);
  }

  become(status: ConnectionStatus): void {
    if (this.#status === undefined || this.#status === status) return;
    const before = this.#status;
    this.#status = status;
    this.#count(status, 1);
    this.#count(before, -1);
  }

  end(): void {
    const status = this.#status;
    this.#status = undefined;
    if (status !== undefined) this.#count(status, -1);
  }
}
