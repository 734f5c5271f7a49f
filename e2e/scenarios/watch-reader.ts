import type { Client } from './registration-client.ts';
import { until } from '../worlds/wait.ts';

/** What scenarios read of an event of a watch. */
export interface SeenEvent {
  readonly type: string;
  readonly object: {
    readonly kind?: string;
    readonly code?: number;
    readonly reason?: string;
    readonly metadata?: {
      readonly name?: string;
      readonly resourceVersion?: string;
      readonly annotations?: Readonly<Record<string, string>>;
    };
  };
}

/** A watch that somebody reads as it comes. */
export interface WatchReader {
  readonly status: number;
  /** From the call to the head of the answer. */
  readonly headMs: number;
  readonly events: readonly SeenEvent[];
  /** `ended`: the stream came to its proper end; `broken`: it was cut. */
  state(): 'open' | 'ended' | 'broken';
  /** Resolves with the first event that fits. */
  sees(what: string, fits: (event: SeenEvent) => boolean, timeoutMs?: number): Promise<SeenEvent>;
  end(): void;
}

/** Opens a watch; whoever opens it ends it. */
export async function readWatch(client: Client, path: string): Promise<WatchReader> {
  const started = performance.now();
  const response = await client.open(path, { timeoutMs: 60_000 });
  const headMs = performance.now() - started;
  const events: SeenEvent[] = [];
  let state: 'open' | 'ended' | 'broken' = 'open';
  let rest = '';
  response.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('utf8')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) events.push(JSON.parse(line) as SeenEvent);
  });
  response.on('error', () => (state = 'broken'));
  response.on('end', () => (state = 'ended'));
  return {
    status: response.statusCode ?? 0,
    headMs,
    events,
    state: () => state,
    sees: (what, fits, timeoutMs = 5000) =>
      until(what, () => Promise.resolve(events.find(fits)), { timeoutMs, intervalMs: 10 }),
    end: () => response.destroy(),
  };
}
