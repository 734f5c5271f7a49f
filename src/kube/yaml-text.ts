import type { Document, Node, Pair, YAMLMap, YAMLSeq } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type { ReadDocument } from './json-text.ts';
import { MAX_DEPTH, checkFieldName, noteDuplicate, pathText } from './json-text.ts';
import { StatusError, badRequest, entityTooLarge } from './status.ts';

/** Larger documents cost more time to read than a server that answers others has; kubectl sends JSON. */
const maxCharacters = 512 * 1024;

/** How many aliases may be resolved in all: what they stand for may have aliases again (CVE-2019-11253). */
const maxAliases = 100;

/**
 * Reads one YAML 1.2 document with the values of JSON. Throws a 400 StatusError for anything else, and for documents
 * that are nested too deeply or grow by aliases; 413 for one of more than 512 KiB.
 */
export function parseYamlText(text: string): ReadDocument {
  if (text.length > maxCharacters) throw entityTooLarge(`limit is ${maxCharacters}`);
  checkNesting(text);
  try {
    // The library's own look for equal keys compares each with each.
    const document = parseDocument(text, { uniqueKeys: false, prettyErrors: false });
    const [error] = document.errors;
    if (error) throw badRequest(`invalid YAML at position ${error.pos[0]}`);
    const duplicateFields: string[] = [];
    walk(document.contents, [], duplicateFields);
    return { value: plain(document), duplicateFields };
  } catch (error) {
    // A bomb of aliases, or the end of the stack.
    throw error instanceof StatusError ? error : badRequest('invalid YAML');
  }
}

/** The library reads nested documents by recursion, in time that grows with the square of their depth. */
function checkNesting(text: string): void {
  let depth = 0;
  for (const [bracket] of text.matchAll(/[[\]{}]/g)) {
    depth += bracket === '[' || bracket === '{' ? 1 : -1;
    if (depth > MAX_DEPTH) throw badRequest('the document is nested too deeply');
  }
  if (/(?:[-?:][ \t]+){200}/.test(text)) throw badRequest('the document is nested too deeply');
}

const plain = (document: Document): unknown => document.toJS({ maxAliasCount: maxAliases }) as unknown;

function walk(node: unknown, path: readonly (string | number)[], duplicates: string[]): void {
  if (path.length > MAX_DEPTH) throw badRequest('the document is nested too deeply');
  if (isMap(node)) walkMap(node, path, duplicates);
  else if (isSeq(node))
    (node as YAMLSeq<Node>).items.forEach((item, at) => walk(item, [...path, at], duplicates));
}

function walkMap(map: YAMLMap, path: readonly (string | number)[], duplicates: string[]): void {
  const names = new Set<string>();
  for (const { key, value } of map.items as Pair<Node, Node | null>[]) {
    if (!isScalar(key) || isAlias(key)) throw badRequest('a key of a YAML document must be a word');
    const name = String(key.value);
    checkFieldName(name);
    const inner = [...path, name];
    if (names.has(name)) noteDuplicate(duplicates, pathText(inner));
    names.add(name);
    walk(value, inner, duplicates);
  }
}
