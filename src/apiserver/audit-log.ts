import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';
import { formatMicroTime, preciseNow } from '../kube/micro-time.ts';
import type { AuditEvent } from './audit-event.ts';

export interface AuditLog extends Closable {
  /** Takes an event; never waits and never throws. */
  write(event: AuditEvent): void;
  /** Events that could not be kept. */
  readonly lost: number;
}

/** Where lines go. */
export interface AuditOutput {
  /** Appends whole lines: all of them or, where it throws, none of them as far as the medium allows. */
  append(lines: Buffer): Promise<void>;
  close(): Promise<void>;
}

export interface AuditLogOptions {
  readonly output: AuditOutput;
  readonly log: Log;
  /** Characters that may wait for the output. */
  readonly maxQueuedLength?: number;
  /** Milliseconds until the output is tried again after a failure. */
  readonly retryMs?: number;
  /** How long `close` waits for the output, in milliseconds. */
  readonly closeTimeoutMs?: number;
}

/** Stands in the event that marks a gap, with the number of events that are missing there. */
export const LOST_EVENTS = 'audit-log/lost-events';

/**
 * Writes events in batches, one JSON object a line, behind the requests' backs: a slow, full or read-only disk delays
 * nobody. While the output fails, events wait in a bounded queue and are written when it works again; those that do not
 * fit are counted, and an event in their place says how many they were.
 */
export function createAuditLog(options: AuditLogOptions): AuditLog {
  return new QueuedAuditLog(options);
}

/** Each thing is said once. */
interface Trouble {
  readonly lostBefore: number;
  saidLost: boolean;
  saidFailing: boolean;
}

/** Characters of one write: a large queue must not become one large buffer. */
const maxBatchLength = 256 * 1024;

class QueuedAuditLog implements AuditLog {
  lost = 0;
  readonly #output: AuditOutput;
  readonly #log: Log;
  readonly #maxQueuedLength: number;
  readonly #retryMs: number;
  readonly #closeTimeoutMs: number;
  readonly #ending = new AbortController();
  #queue: string[] = [];
  #queuedLength = 0;
  #writing: Promise<void> | undefined;
  #gap: { events: number; since: number; until: number } | undefined;
  /** From the first failure, or the first loss, until events are written again. */
  #trouble: Trouble | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: AuditLogOptions) {
    this.#output = options.output;
    this.#log = options.log;
    this.#maxQueuedLength = options.maxQueuedLength ?? 16 * 1024 * 1024;
    this.#retryMs = options.retryMs ?? 1000;
    this.#closeTimeoutMs = options.closeTimeoutMs ?? 5000;
  }

  write(event: AuditEvent): void {
    const line = lineOf(event);
    const marker = this.#gap && lineOf(gapEvent(this.#gap));
    const length = line.length + (marker?.length ?? 0);
    if (this.#ending.signal.aborted || this.#queuedLength + length > this.#maxQueuedLength) {
      this.#lose();
      return;
    }
    if (marker) {
      this.#gap = undefined;
      this.#queue.push(marker);
    }
    this.#queue.push(line);
    this.#queuedLength += length;
    this.#writing ??= this.#drain().finally(() => (this.#writing = undefined));
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#nextBatch();
      const isLast = this.#ending.signal.aborted;
      try {
        await this.#output.append(Buffer.from(batch.lines.join('')));
      } catch (error) {
        this.#failed(error);
        // One try after the end was asked for, no more.
        if (isLast) return;
        await sleep(this.#retryMs, undefined, { signal: this.#ending.signal, ref: false }).catch(() => {});
        continue;
      }
      this.#queue.splice(0, batch.lines.length);
      this.#queuedLength -= batch.length;
      this.#worked();
    }
  }

  #nextBatch(): { lines: readonly string[]; length: number } {
    let count = 0;
    let length = 0;
    for (const line of this.#queue) {
      if (count > 0 && length + line.length > maxBatchLength) break;
      count += 1;
      length += line.length;
    }
    return { lines: this.#queue.slice(0, count), length };
  }

  #lose(count = 1): void {
    const now = preciseNow();
    this.#gap ??= { events: 0, since: now, until: now };
    this.#gap.events += count;
    this.#gap.until = now;
    this.#trouble ??= { lostBefore: this.lost, saidLost: false, saidFailing: false };
    if (!this.#trouble.saidLost) {
      this.#trouble.saidLost = true;
      this.#log.error(
        { queuedLength: this.#queuedLength },
        this.#ending.signal.aborted
          ? 'the audit log has ended: audit events are being lost'
          : 'the audit queue is full: audit events are being lost',
      );
    }
    this.lost += count;
  }

  #failed(error: unknown): void {
    this.#trouble ??= { lostBefore: this.lost, saidLost: false, saidFailing: false };
    if (this.#trouble.saidFailing) return;
    this.#trouble.saidFailing = true;
    this.#log.error({ err: error }, 'audit events cannot be written: they wait in memory');
  }

  #worked(): void {
    if (!this.#trouble || this.#queuedLength > this.#maxQueuedLength / 2) return;
    const lost = this.lost - this.#trouble.lostBefore;
    this.#trouble = undefined;
    this.#log.warn({ lost }, 'audit events are written again');
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const marker = this.#gap && lineOf(gapEvent(this.#gap));
    if (marker) {
      this.#gap = undefined;
      this.#queue.push(marker);
      this.#queuedLength += marker.length;
    }
    if (this.#queue.length > 0) this.#writing ??= this.#drain().finally(() => (this.#writing = undefined));
    // No more is taken, and a failing output is tried once more only.
    this.#ending.abort();
    await Promise.race([this.#writing, sleep(this.#closeTimeoutMs, undefined, { ref: false })]);
    this.#giveUp();
    await Promise.race([this.#output.close(), sleep(this.#closeTimeoutMs, undefined, { ref: false })]);
  }

  destroy(): void {
    this.#ending.abort();
    this.#closing ??= this.#output.close().catch(() => {});
    this.#giveUp();
  }

  #giveUp(): void {
    const { length } = this.#queue;
    this.#queue = [];
    this.#queuedLength = 0;
    if (length > 0) this.#lose(length);
  }
}

// Encoded when it is written, many at once: a request pays for the text only.
const lineOf = (event: AuditEvent) => `${JSON.stringify(event)}\n`;

/** Readers of the log see that something is missing here, from when to when, and how much. */
function gapEvent({ events, since, until }: { events: number; since: number; until: number }): AuditEvent {
  return {
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'Metadata',
    auditID: randomUUID(),
    stage: 'Panic',
    requestURI: '',
    verb: '',
    user: {},
    requestReceivedTimestamp: formatMicroTime(since),
    stageTimestamp: formatMicroTime(until),
    annotations: { [LOST_EVENTS]: String(events) },
  };
}
