import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeHeaderText, firstHeader } from '../base/header-lines.ts';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';
import type { RequestInfo } from '../kube/request-info.ts';
import type { UserInfo } from '../kube/user-info.ts';
import type { Exchange } from './exchange.ts';

/** What is known of a request when its audit line is written. */
export interface AuditedRequest {
  readonly exchange: Exchange;
  readonly auditId: string;
  readonly receivedAt: Date;
  readonly info: RequestInfo | undefined;
  readonly user: UserInfo | undefined;
}

export type AuditStage = 'ResponseStarted' | 'ResponseComplete';

/** One audit.k8s.io/v1 Event at level Metadata: who, what, outcome; never a header, a token or a body. */
export function auditEvent(request: AuditedRequest, stage: AuditStage, now: Date): object {
  const { exchange, info, user } = request;
  const userAgent = firstHeader(exchange.headers, 'user-agent');
  return {
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'Metadata',
    auditID: request.auditId,
    stage,
    requestURI: exchange.target,
    verb: info?.verb ?? exchange.method.toLowerCase(),
    user: user
      ? { username: user.name, uid: user.uid, groups: user.groups, extra: user.extra }
      : { username: '', groups: [] },
    sourceIPs: [exchange.connection.remoteAddress],
    userAgent: userAgent === undefined ? undefined : decodeHeaderText(userAgent),
    objectRef: info?.isResourceRequest
      ? {
          resource: info.resource,
          namespace: info.namespace || undefined,
          name: info.name || undefined,
          apiGroup: info.apiGroup || undefined,
          apiVersion: info.apiVersion,
          subresource: info.subresource || undefined,
        }
      : undefined,
    responseStatus: { metadata: {}, code: exchange.status ?? 0 },
    requestReceivedTimestamp: request.receivedAt.toISOString(),
    stageTimestamp: now.toISOString(),
  };
}

export interface AuditLog extends Closable {
  write(event: object): void;
  /** Events that could not be kept: the queue was full, or the disk. */
  readonly dropped: number;
}

export interface AuditLogOptions {
  /** A file to append to, or `-` for standard output. */
  readonly path: string;
  /** Bytes that may wait for the disk. */
  readonly maxQueuedBytes?: number;
  readonly log: Log;
}

/**
 * Appends events to a file in batches. A slow or full disk never delays a request: what does not fit the queue is
 * counted, and said once in the log until writing works again.
 */
export function createAuditLog(options: AuditLogOptions): AuditLog {
  return new FileAuditLog(options);
}

class FileAuditLog implements AuditLog {
  dropped = 0;
  readonly #path: string;
  readonly #maxQueuedBytes: number;
  readonly #log: Log;
  #queue: string[] = [];
  #queuedBytes = 0;
  #writing: Promise<void> | undefined;
  #file: FileHandle | undefined;
  #failing = false;
  #mayBeCut = true;
  #ended = false;

  constructor(options: AuditLogOptions) {
    this.#path = options.path;
    this.#maxQueuedBytes = options.maxQueuedBytes ?? 16 * 1024 * 1024;
    this.#log = options.log;
  }

  write(event: object): void {
    const line = `${JSON.stringify(event)}\n`;
    if (this.#ended || this.#queuedBytes + line.length > this.#maxQueuedBytes) {
      this.#drop(1, new Error('the audit queue is full'));
      return;
    }
    this.#queue.push(line);
    this.#queuedBytes += line.length;
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = undefined;
    });
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      const bytes = this.#queuedBytes;
      this.#queue = [];
      try {
        await this.#append(batch.join(''));
        this.#failing = false;
      } catch (error) {
        this.#drop(batch.length, error);
        this.#mayBeCut = true;
        await this.#file?.close().catch(() => undefined);
        this.#file = undefined;
        if (!this.#ended) await sleep(1000, undefined, { ref: false });
      }
      this.#queuedBytes -= bytes;
    }
  }

  async #append(text: string): Promise<void> {
    if (this.#path === '-') {
      await new Promise<void>((resolve, reject) => {
        process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
      });
      return;
    }
    this.#file ??= await open(this.#path, 'a+', 0o600);
    await this.#file.appendFile((await this.#isCut(this.#file)) ? `\n${text}` : text);
    this.#mayBeCut = false;
  }

  /** A full disk, or the end of a process, may have left half a line: the next one must not become part of it. */
  async #isCut(file: FileHandle): Promise<boolean> {
    if (!this.#mayBeCut) return false;
    const { size } = await file.stat();
    if (size === 0) return false;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
    return bytesRead === 1 && buffer.toString() !== '\n';
  }

  #drop(count: number, error: unknown): void {
    this.dropped += count;
    if (!this.#failing) this.#log.error({ err: error, path: this.#path }, 'audit events are being lost');
    this.#failing = true;
  }

  async close(): Promise<void> {
    this.#ended = true;
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  destroy(): void {
    this.#ended = true;
    void this.#file?.close().catch(() => undefined);
    this.#file = undefined;
  }
}
