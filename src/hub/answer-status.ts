import { z } from 'zod';
import { StatusError, statusCodes } from '../kube/status.ts';
import type { StatusReason } from '../kube/status.ts';

const statusShape = z.object({
  kind: z.literal('Status'),
  message: z.string().optional(),
  reason: z.string().optional(),
  code: z.number().optional(),
});

const isReason = (text: string): text is StatusReason => text in statusCodes;

/** The error that a refused request stands for: the hub's own Status where it sent one. */
export function statusFromAnswer(code: number, text: string): StatusError {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  return statusFromValue(value, code);
}

/** The same for a Status that came in a watch. */
export function statusFromValue(value: unknown, code: number): StatusError {
  const status = statusShape.safeParse(value).data;
  const reason = status?.reason !== undefined && isReason(status.reason) ? status.reason : reasonOf(code);
  return new StatusError(reason, status?.message ?? `the hub answered ${code}`, {
    code: status?.code ?? code,
  });
}

function reasonOf(code: number): StatusReason {
  const known = Object.entries(statusCodes).find(([, value]) => value === code)?.[0];
  return known !== undefined && isReason(known) ? known : 'InternalError';
}
