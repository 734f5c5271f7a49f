import { isDeepStrictEqual } from 'node:util';
import { isJsonObject } from './json-text.ts';
import { StatusError, badRequest, entityTooLarge } from './status.ts';

/** As kube-apiserver (endpoints/handlers/patch.go). */
const maxOperations = 10_000;
/** Bytes that all copies of one patch may make: each could double the document. */
const maxCopiedBytes = 3 * 1024 * 1024;

export type JsonPatchOperation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: readonly string[]; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: readonly string[] }
  | { readonly op: 'move' | 'copy'; readonly path: readonly string[]; readonly from: readonly string[] };

/**
 * Reads a JSON patch (RFC 6902). Throws a 400 StatusError for what is none, and 413 for one of too many operations.
 * Own code: no library bounds what copies make, as kube-apiserver's does.
 */
export function parseJsonPatch(document: unknown): JsonPatchOperation[] {
  if (!Array.isArray(document)) throw badRequest('a JSON patch must be an array of operations');
  if (document.length > maxOperations)
    throw entityTooLarge(
      `The allowed maximum operations in a JSON patch is ${maxOperations}, got ${document.length}`,
    );
  return document.map(parseOperation);
}

function parseOperation(operation: unknown, at: number): JsonPatchOperation {
  const wrong = (what: string) => badRequest(`operation ${at} of the JSON patch ${what}`);
  if (!isJsonObject(operation)) throw wrong('is no object');
  const { op } = operation;
  const pointer = (member: 'path' | 'from') => {
    const text = operation[member];
    const tokens = typeof text === 'string' ? parsePointer(text) : undefined;
    if (!tokens) throw wrong(`has no ${member} that is a JSON pointer`);
    return tokens;
  };
  switch (op) {
    case 'add':
    case 'replace':
    case 'test':
      if (!('value' in operation)) throw wrong('has no value');
      return { op, path: pointer('path'), value: operation['value'] };
    case 'remove':
      return { op, path: pointer('path') };
    case 'move':
    case 'copy':
      return { op, path: pointer('path'), from: pointer('from') };
    default:
      throw wrong('has an unknown op');
  }
}

/** RFC 6901; undefined for what is no pointer. */
function parsePointer(text: string): string[] | undefined {
  if (text === '') return [];
  if (!text.startsWith('/') || /~(?![01])/.test(text)) return undefined;
  return text
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/**
 * Applies all operations or none; the document that is given stays as it is. Throws a 422 StatusError with
 * kube-apiserver's words where an operation does not fit, `test` among them.
 */
export function applyJsonPatch(document: unknown, operations: readonly JsonPatchOperation[]): unknown {
  // One holder above the document makes its root a place like any other.
  const root = { document: structuredClone(document) };
  const budget = { bytes: maxCopiedBytes };
  for (const operation of operations) applyOne(root, operation, budget);
  return root.document;
}

function applyOne(
  root: { document: unknown },
  operation: JsonPatchOperation,
  budget: { bytes: number },
): void {
  const { op } = operation;
  const target = new Place(root, operation.path);
  switch (op) {
    case 'add':
      target.add(structuredClone(operation.value));
      return;
    case 'replace':
      target.replace(structuredClone(operation.value));
      return;
    case 'test':
      if (!isDeepStrictEqual(target.existing(), operation.value)) throw rejected();
      return;
    case 'remove':
      target.remove();
      return;
    case 'move':
      if (isInside(operation.path, operation.from)) throw rejected();
      target.add(new Place(root, operation.from).remove());
      return;
    case 'copy': {
      const value = new Place(root, operation.from).existing();
      budget.bytes -= JSON.stringify(value).length;
      if (budget.bytes < 0) throw rejected();
      target.add(structuredClone(value));
    }
  }
}

/** Nothing can be moved into itself. */
const isInside = (path: readonly string[], from: readonly string[]) =>
  path.length > from.length && from.every((token, at) => path[at] === token);

const rejected = () =>
  new StatusError('Invalid', 'the server rejected our request due to an error in our request', {
    details: {},
  });

/** One place in a document, looked up when it is used: what came before in the patch may have moved it. */
class Place {
  readonly #root: { document: unknown };
  readonly #path: readonly string[];

  constructor(root: { document: unknown }, path: readonly string[]) {
    this.#root = root;
    this.#path = path;
  }

  /** What stands there. */
  existing(): unknown {
    return this.#path.reduce<unknown>((parent, token) => child(parent, token), this.#root.document);
  }

  add(value: unknown): void {
    this.#write((parent, token) => {
      if (Array.isArray(parent))
        parent.splice(token === '-' ? parent.length : index(token, parent.length), 0, value);
      else setOwn(parent, token, value);
    }, value);
  }

  replace(value: unknown): void {
    this.existing();
    this.#write((parent, token) => {
      if (Array.isArray(parent)) parent[index(token, parent.length - 1)] = value;
      else setOwn(parent, token, value);
    }, value);
  }

  remove(): unknown {
    const value = this.existing();
    this.#write((parent, token) => {
      if (Array.isArray(parent)) parent.splice(index(token, parent.length - 1), 1);
      else Reflect.deleteProperty(parent, token);
    }, null);
    return value;
  }

  #write(change: (parent: unknown[] | Record<string, unknown>, token: string) => void, whole: unknown): void {
    const token = this.#path.at(-1);
    if (token === undefined) {
      this.#root.document = whole;
      return;
    }
    const parent = new Place(this.#root, this.#path.slice(0, -1)).existing();
    if (!Array.isArray(parent) && !isJsonObject(parent)) throw rejected();
    change(parent, token);
  }
}

function child(parent: unknown, token: string): unknown {
  if (Array.isArray(parent)) return parent[index(token, parent.length - 1)] as unknown;
  if (!isJsonObject(parent) || !Object.hasOwn(parent, token)) throw rejected();
  return parent[token];
}

/** Assigning to `__proto__` would change what the object is instead of what it has. */
function setOwn(parent: Record<string, unknown>, token: string, value: unknown): void {
  if (token === '__proto__') throw rejected();
  parent[token] = value;
}

function index(token: string, last: number): number {
  if (!/^(?:0|[1-9][0-9]{0,8})$/.test(token) || Number(token) > last) throw rejected();
  return Number(token);
}
