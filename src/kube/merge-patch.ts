import type { JsonObject } from './json-text.ts';
import { isJsonObject } from './json-text.ts';

/**
 * JSON merge patch (RFC 7386): null removes a field, an object is merged, anything else takes the old value's place.
 * Neither argument changes. Own code: the RFC's eleven lines are the whole of it.
 */
export function applyMergePatch(target: unknown, patch: JsonObject): JsonObject {
  const merged = new Map(Object.entries(isJsonObject(target) ? target : {}));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, isJsonObject(value) ? applyMergePatch(merged.get(name), value) : value);
  }
  return Object.fromEntries(merged);
}
