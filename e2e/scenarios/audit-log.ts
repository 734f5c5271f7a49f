import { open, stat } from 'node:fs/promises';

/** What scenarios read of an event of a cluster's audit log. */
export interface AuditEvent {
  readonly auditID: string;
  readonly stage: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly stageTimestamp: string;
  readonly userAgent?: string;
  readonly user: { readonly username: string; readonly groups?: readonly string[] };
  readonly impersonatedUser?: {
    readonly username: string;
    readonly uid?: string;
    readonly groups?: readonly string[];
    readonly extra?: Readonly<Record<string, readonly string[]>>;
  };
  readonly objectRef?: {
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly apiGroup?: string;
    readonly apiVersion?: string;
  };
  readonly responseStatus?: { readonly code?: number };
  /** The hub writes those of clustergateways and SubjectAccessReviews. */
  readonly requestObject?: unknown;
}

/** The end of the log at this moment: where what happens from now on will stand. */
export async function auditEnd(path: string): Promise<number> {
  return (await stat(path)).size;
}

/** The events that were written from a place on; a line that is still being written is left out. */
export async function auditSince(path: string, offset: number): Promise<readonly AuditEvent[]> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const length = Math.max(0, size - offset);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
    const text = buffer.toString('utf8', 0, bytesRead);
    return text
      .slice(0, text.lastIndexOf('\n') + 1)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as AuditEvent);
  } finally {
    await file.close();
  }
}
