import { z } from 'zod';
import { StatusError, statusCodes } from '../kube/status.ts';
import type { StatusDetails, StatusReason } from '../kube/status.ts';
import { parseJson } from './response-body.ts';

const text = z.string().max(4096).optional().catch(undefined);
const causeShape = z.object({ reason: text, message: text, field: text });
const detailsShape = z.object({
  name: text,
  group: text,
  kind: text,
  causes: z.array(causeShape).max(100).optional().catch(undefined),
  retryAfterSeconds: z.number().optional().catch(undefined),
});
const statusShape = z.object({
  kind: z.literal('Status'),
  message: text,
  reason: text,
  details: detailsShape.optional().catch(undefined),
  code: z.number().int().min(400).max(599).optional().catch(undefined),
});

/** The error that a refused request stands for: the hub's own Status where it sent one. */
export function statusFromAnswer(code: number, body: string): StatusError {
  return statusFromValue(parseJson(body)?.value, code);
}

/** The same for a Status that came in a watch. */
export function statusFromValue(value: unknown, code: number): StatusError {
  const status = statusShape.safeParse(value).data;
  const details = status?.details && withoutUndefined(status.details);
  return new StatusError(
    // On the wire reasons are an open set (ServerTimeout, NotYetValid …), and who asks must see the hub's own.
    status?.reason ? (status.reason as StatusReason) : reasonOf(status?.code ?? code),
    status?.message ?? `the hub answered ${code}`,
    { code: status?.code ?? code, ...(details ? { details } : {}) },
  );
}

/** The hub no longer knows the version that was asked for, or (restored from a backup) does not know it yet. */
export function isVersionUnknown(error: unknown): boolean {
  if (!(error instanceof StatusError)) return false;
  const { code, reason, details } = error.status;
  if (code === 410 || reason === 'Expired' || reason === 'Gone') return true;
  return details?.causes?.some((cause) => cause.reason === 'ResourceVersionTooLarge') ?? false;
}

function withoutUndefined({ causes, ...rest }: z.infer<typeof detailsShape>): StatusDetails {
  return {
    ...dropUndefined(rest),
    ...(causes ? { causes: causes.map((cause) => dropUndefined(cause)) } : {}),
  };
}

/** zod keeps keys whose value is undefined, exactOptionalPropertyTypes does not. */
function dropUndefined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

function reasonOf(code: number): StatusReason {
  const known = Object.entries(statusCodes).find(([, value]) => value === code)?.[0];
  if (known !== undefined) return known as StatusReason;
  return code >= 500 ? 'InternalError' : 'BadRequest';
}
