import type { KubeObject } from '../kube/object-meta.ts';
import { isResourceVersion } from '../kube/resource-version.ts';
import { StatusError, badRequest } from '../kube/status.ts';
import type { ListMeta } from '../kube/table.ts';

/** Where the next page of a list begins. Nothing in it is secret, nor trusted. */
export interface ContinueToken {
  /** The state that the list began with; undefined: whatever state there is by then. */
  readonly resourceVersion: string | undefined;
  /** `namespace/name` of the last object that was answered. */
  readonly after: string;
}

const TOKEN_VERSION = 1;
/** A namespace and a name have at most 317 characters together. */
const maxTokenCharacters = 1024;

export function encodeContinue({ resourceVersion, after }: ContinueToken): string {
  const token = { v: TOKEN_VERSION, rv: resourceVersion, after };
  return Buffer.from(JSON.stringify(token)).toString('base64url');
}

/** Throws a 400 StatusError for what is no token of ours. */
export function decodeContinue(text: string): ContinueToken {
  const token = text.length <= maxTokenCharacters ? parsed(text) : undefined;
  const { v: version, rv: resourceVersion, after } = token ?? {};
  const isVersion =
    resourceVersion === undefined ||
    (typeof resourceVersion === 'string' && isResourceVersion(resourceVersion));
  if (version !== TOKEN_VERSION || typeof after !== 'string' || !isVersion)
    throw badRequest('continue key is not valid');
  return { resourceVersion, after };
}

function parsed(text: string): { v?: unknown; rv?: unknown; after?: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The state that a list began with is gone. The token of the answer leads on all the same, for those who can live with
 * pages of several states (apiserver registry/generic/registry/store.go).
 */
export function expiredContinue(after: string): StatusError {
  return new StatusError(
    'Expired',
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
    { metadata: { continue: encodeContinue({ resourceVersion: undefined, after }) } },
  );
}

export interface PageOptions {
  /** Objects that the page may have; undefined or 0 for all. */
  readonly limit: number | undefined;
  /** `namespace/name`; empty for the beginning. */
  readonly after: string;
  /** Selectors were given: how many objects are left is not told then, as in kube-apiserver. */
  readonly isSelection: boolean;
  readonly resourceVersion: string;
}

export interface Page {
  readonly objects: readonly KubeObject[];
  readonly metadata: ListMeta;
}

const keyOf = ({ metadata: { namespace = '', name } }: KubeObject) => `${namespace}/${name}`;

/** Cuts one page out of a list that was selected from. */
export function pageOf(
  selected: readonly KubeObject[],
  { limit = 0, after, isSelection, resourceVersion }: PageOptions,
): Page {
  // What fits one page keeps the resource's own order: kubectl always names a limit, and few lists have more.
  const isWhole = after === '' && (limit <= 0 || selected.length <= limit);
  if (isWhole) return { objects: selected, metadata: { resourceVersion } };
  const rest = inOrder(selected).filter((object) => keyOf(object) > after);
  const objects = limit > 0 ? rest.slice(0, limit) : rest;
  const last = objects.at(-1);
  const left = rest.length - objects.length;
  if (left === 0 || !last) return { objects, metadata: { resourceVersion } };
  return {
    objects,
    metadata: {
      resourceVersion,
      continue: encodeContinue({ resourceVersion, after: keyOf(last) }),
      ...(isSelection ? {} : { remainingItemCount: left }),
    },
  };
}

/** By namespace and name: a page must begin where the last one ended. Most lists are in that order already. */
function inOrder(objects: readonly KubeObject[]): readonly KubeObject[] {
  let before = '';
  for (const object of objects) {
    const key = keyOf(object);
    if (key < before) return objects.toSorted((left, right) => (keyOf(left) < keyOf(right) ? -1 : 1));
    before = key;
  }
  return objects;
}
