/** Frees a place; a second call does nothing. */
export type Leave = () => void;

export interface FairQueueOptions {
  /** Places: so many may be taken at once. At least 1. */
  readonly limit: number;
  /** So many may wait for a place; 0: nobody waits. */
  readonly maxWaiting: number;
  /** The share, above 0 up to 1, of places and of the queue that one flow gets while nobody else wants any. */
  readonly share: number;
}

/** As long as `signal` has not fired and the time (milliseconds, counted from the call) is not over. */
export interface Patience {
  readonly signal: AbortSignal;
  readonly maxWaitMs: number;
}

/** Why there was no place, in the words of kube-apiserver's `reason` label. */
export type RefusalReason = 'concurrency-limit' | 'queue-full' | 'time-out' | 'cancelled';

export class Refused extends Error {
  readonly reason: RefusalReason;
  constructor(reason: RefusalReason) {
    super(`no place: ${reason}`);
    this.reason = reason;
  }
}

interface Flow {
  readonly name: string;
  taken: number;
  readonly waiting: Set<Waiter>;
}

/**
 * Places that are shared fairly by flows (who sends the requests). No flow can take all of them: it gets another place
 * only while it has fewer than a fixed multiple of those that would still be free, so that the more flows want places
 * the less each may hold, and one that has none finds one (the dynamic thresholds of shared switch buffers, Choudhury
 * and Hahne 1998). Places in the queue are shared by the same rule. A place that is freed goes to the flow
 * with the fewest, among equals to the one that has waited longest; within a flow, first come, first served.
 *
 * k8s.io/apiserver's flowcontrol hashes flows to a few queues (shuffle sharding), lest they be too many. Here a flow is
 * known only while it has a place or waits for one, which both are limited; so each has a queue of its own.
 */
export class FairQueue {
  readonly #options: FairQueueOptions;
  readonly #flows = new Map<string, Flow>();
  /** The flows that wait, by the places they have. Each set is in the order in which flows came to it. */
  readonly #queues: Set<Flow>[] = [];
  /** No flow waits in a queue before this one. */
  #lowest = 0;
  #taken = 0;
  #waiting = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  get taken(): number {
    return this.#taken;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Flows that are known now. */
  get flows(): number {
    return this.#flows.size;
  }

  /** Takes a place at once, or gives undefined where the flow has to wait. */
  enter(name: string): Leave | undefined {
    const flow = this.#flows.get(name);
    // Nobody is overtaken: where a place is free, whoever waits already has as many as it may.
    if (!this.#mayTake(flow?.taken ?? 0)) return undefined;
    return this.#take(flow ?? this.#flowOf(name));
  }

  /** Waits for a place, after `enter` gave none. Rejects with {@link Refused}. */
  wait(name: string, { signal, maxWaitMs }: Patience): Promise<Leave> {
    const held = this.#flows.get(name)?.waiting.size ?? 0;
    const free = this.#options.maxWaiting - this.#waiting;
    if (!mayHoldOneMore(held, free, this.#options.share)) {
      return Promise.reject(new Refused(this.#options.maxWaiting > 0 ? 'queue-full' : 'concurrency-limit'));
    }
    if (signal.aborted) return Promise.reject(new Refused('cancelled'));
    if (maxWaitMs <= 0) return Promise.reject(new Refused('time-out'));
    return new Promise((resolve, reject) => {
      const flow = this.#flowOf(name);
      const end = (refused?: Refused) => {
        this.#leaveQueue(flow, waiter);
        if (refused) this.#forgetIdle(flow);
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        if (refused) reject(refused);
        else resolve(this.#take(flow));
      };
      const onAbort = () => end(new Refused('cancelled'));
      const timer = setTimeout(() => end(new Refused('time-out')), maxWaitMs);
      const waiter: Waiter = { takeTurn: () => end() };
      signal.addEventListener('abort', onAbort);
      this.#joinQueue(flow, waiter);
    });
  }

  #flowOf(name: string): Flow {
    let flow = this.#flows.get(name);
    if (!flow) {
      flow = { name, taken: 0, waiting: new Set() };
      this.#flows.set(name, flow);
    }
    return flow;
  }

  #forgetIdle(flow: Flow): void {
    if (flow.taken === 0 && flow.waiting.size === 0) this.#flows.delete(flow.name);
  }

  #mayTake(taken: number): boolean {
    const { limit, share } = this.#options;
    return mayHoldOneMore(taken, limit - this.#taken, share);
  }

  #take(flow: Flow): Leave {
    this.#count(flow, 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#count(flow, -1);
      this.#forgetIdle(flow);
      this.#dispatch();
    };
  }

  #count(flow: Flow, change: 1 | -1): void {
    const waits = flow.waiting.size > 0;
    if (waits) this.#queues[flow.taken]?.delete(flow);
    flow.taken += change;
    this.#taken += change;
    if (waits) this.#enqueue(flow);
  }

  #joinQueue(flow: Flow, waiter: Waiter): void {
    flow.waiting.add(waiter);
    this.#waiting += 1;
    if (flow.waiting.size === 1) this.#enqueue(flow);
  }

  #leaveQueue(flow: Flow, waiter: Waiter): void {
    flow.waiting.delete(waiter);
    this.#waiting -= 1;
    if (flow.waiting.size === 0) this.#queues[flow.taken]?.delete(flow);
  }

  #enqueue(flow: Flow): void {
    while (this.#queues.length <= flow.taken) this.#queues.push(new Set());
    this.#queues[flow.taken]?.add(flow);
    this.#lowest = Math.min(this.#lowest, flow.taken);
  }

  /** Gives places to those who wait, as long as one of them may have one. */
  #dispatch(): void {
    for (;;) {
      const flow = this.#next();
      // If the flow with the fewest may not, no other may.
      if (!flow || !this.#mayTake(flow.taken)) return;
      const [waiter] = flow.waiting;
      waiter?.takeTurn();
    }
  }

  #next(): Flow | undefined {
    for (; this.#waiting > 0 && this.#lowest < this.#queues.length; this.#lowest += 1) {
      const [flow] = this.#queues[this.#lowest] ?? [];
      if (flow) return flow;
    }
    return undefined;
  }
}

interface Waiter {
  readonly takeTurn: () => void;
}

/** Whoever has none may always have one; more, only while enough would be left for others. */
function mayHoldOneMore(held: number, free: number, share: number): boolean {
  if (free < 1) return false;
  if (held === 0 || share >= 1) return true;
  return held < (share / (1 - share)) * (free - 1);
}
