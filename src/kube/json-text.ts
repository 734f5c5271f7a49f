import { badRequest } from './status.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** A document that was read, and its fields that stand twice (`spec.size`): the last value counts. */
export interface ReadDocument {
  readonly value: unknown;
  readonly duplicateFields: readonly string[];
}

/** Deeper than any object of Kubernetes, and far from the end of the stack. */
export const MAX_DEPTH = 1_000;

/** More duplicates are not told. */
const maxDuplicates = 100;

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * JSON.parse for documents of callers. Throws a 400 StatusError for what is no JSON, is nested too deeply
 * (CVE-2019-11253), or has a field `__proto__`, which no object of Kubernetes has and JavaScript gives a meaning to.
 */
export function parseJsonText(text: string): ReadDocument {
  const duplicateFields = scan(text);
  try {
    return { value: JSON.parse(text) as unknown, duplicateFields };
  } catch (error) {
    const place = /at position \d+/.exec(error instanceof Error ? error.message : '');
    throw badRequest(`invalid JSON${place ? ` ${place[0]}` : ''}`);
  }
}

/** One open bracket of the text. */
interface Level {
  /** Names so far; undefined in an array. */
  readonly names: Set<string> | undefined;
  /** The present field's name, or the present element's index. */
  at: string | number;
}

/** Finds duplicates in one pass. Text that is no JSON is left to the parser: the scan only has to end. */
function scan(text: string): string[] {
  const duplicates: string[] = [];
  const levels: Level[] = [];
  let expectsName = false;
  for (let at = 0; at < text.length; at++) {
    const level = levels.at(-1);
    switch (text.charCodeAt(at)) {
      case 0x7b: // {
        open(levels, { names: new Set(), at: '' });
        expectsName = true;
        break;
      case 0x5b: // [
        open(levels, { names: undefined, at: 0 });
        expectsName = false;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        levels.pop();
        expectsName = false;
        break;
      case 0x2c: // ,
        expectsName = level?.names !== undefined;
        if (typeof level?.at === 'number') level.at++;
        break;
      case 0x22: {
        const end = endOfString(text, at);
        if (end < 0) return duplicates;
        if (expectsName && level) readName(levels, text.slice(at, end + 1), duplicates);
        expectsName = false;
        at = end;
      }
    }
  }
  return duplicates;
}

function open(levels: Level[], level: Level): void {
  if (levels.length >= MAX_DEPTH) throw badRequest('the document is nested too deeply');
  levels.push(level);
}

/** Place of the closing quote; negative where there is none. */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let before = quote - 1;
    while (text.charCodeAt(before) === 0x5c) before--;
    if ((quote - before) % 2 === 1) return quote;
  }
  return -1;
}

function readName(levels: readonly Level[], quoted: string, duplicates: string[]): void {
  const level = levels.at(-1);
  const name = unquote(quoted);
  if (!level?.names || name === undefined) return;
  checkFieldName(name);
  level.at = name;
  if (level.names.has(name)) noteDuplicate(duplicates, pathText(levels.map(({ at }) => at)));
  level.names.add(name);
}

function unquote(quoted: string): string | undefined {
  if (!quoted.includes('\\')) return quoted.slice(1, -1);
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return undefined;
  }
}

/** Throws a 400 StatusError for the one name that is no plain field in JavaScript. */
export function checkFieldName(name: string): void {
  if (name === '__proto__') throw badRequest('a field must not be named "__proto__"');
}

export function noteDuplicate(duplicates: string[], path: string): void {
  if (duplicates.length < maxDuplicates && !duplicates.includes(path)) duplicates.push(path);
}

/** `spec.ports[0].name`. */
export function pathText(path: readonly (string | number)[]): string {
  return path
    .map((step, at) => (typeof step === 'number' ? `[${step}]` : at === 0 ? step : `.${step}`))
    .join('');
}
