import { badRequest } from './status.ts';

/** Whether the text is a resource version that can be ordered: a decimal without leading zeros. */
export function isResourceVersion(text: string): boolean {
  return /^(?:0|[1-9][0-9]{0,39})$/.test(text);
}

/**
 * Negative, zero or positive, as `left` is older, the same or newer. Versions are decimals of any length (KEP-5504): a
 * JavaScript number would lose the low digits of a large one.
 */
export function compareResourceVersions(left: string, right: string): number {
  if (left.length !== right.length) return left.length - right.length;
  return left === right ? 0 : left < right ? -1 : 1;
}

export function nextResourceVersion(version: string): string {
  return String(BigInt(version) + 1n);
}

/** Throws a 400 StatusError for a resource version that this server cannot have given. */
export function checkResourceVersion(text: string): void {
  if (!isResourceVersion(text)) throw badRequest(`invalid resource version ${JSON.stringify(text)}`);
}
