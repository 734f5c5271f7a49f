import { badRequest } from './status.ts';

/** The operators have the names that label selectors have in objects (metav1.LabelSelectorOperator). */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'Gt' | 'Lt';
  readonly values: readonly string[];
}

/** All requirements must hold. The empty selector matches everything. */
export type LabelSelector = readonly LabelRequirement[];

/** Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2`. Throws a 400 StatusError. */
export function parseLabelSelector(text: string): LabelSelector {
  return new Parser(text).parse();
}

export function matchesLabels(
  selector: LabelSelector,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  return selector.every((requirement) => {
    const value = labels && Object.hasOwn(labels, requirement.key) ? labels[requirement.key] : undefined;
    return matches(requirement, value);
  });
}

function matches({ operator, values }: LabelRequirement, value: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
    case 'Lt': {
      const [left, right] = [toInteger(value), toInteger(values[0])];
      if (left === undefined || right === undefined) return false;
      return operator === 'Gt' ? left > right : left < right;
    }
  }
}

const toInteger = (text: string | undefined) =>
  text !== undefined && /^[+-]?\d{1,19}$/.test(text) ? BigInt(text.replace('+', '')) : undefined;

const namePattern = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const prefixPattern = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

/** A qualified name: an optional DNS subdomain, `/`, and a name of at most 63 characters. */
export function isLabelKey(key: string): boolean {
  const slash = key.indexOf('/');
  if (slash < 0) return namePattern.test(key);
  return prefixPattern.test(key.slice(0, slash)) && namePattern.test(key.slice(slash + 1));
}

export function isLabelValue(value: string): boolean {
  return value === '' || namePattern.test(value);
}

/** Symbols are one or two characters, words are everything else; the empty string is the end. */
function tokenize(text: string): string[] {
  const tokens = text.match(/!=|==|[=!(),<>]|[^=!(),<> \t\r\n]+/g) ?? [];
  return [...tokens, ''];
}

const isWord = (token: string) => token !== '' && !/^[=!(),<>]/.test(token);

class Parser {
  readonly #text: string;
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokenize(text);
  }

  parse(): LabelSelector {
    if (this.#peek() === '') return [];
    const requirements = [this.#requirement()];
    while (this.#peek() !== '') {
      this.#expect(',');
      requirements.push(this.#requirement());
    }
    return requirements;
  }

  #requirement(): LabelRequirement {
    const absent = this.#peek() === '!';
    if (absent) this.#take();
    const key = this.#take();
    if (!isWord(key)) throw this.#unexpected(key, 'a label key');
    if (!isLabelKey(key)) throw this.#invalid(`"${key}" is no valid label key`);
    if (absent) return { key, operator: 'DoesNotExist', values: [] };
    const next = this.#peek();
    if (next === '' || next === ',') return { key, operator: 'Exists', values: [] };
    return this.#comparison(key, this.#take());
  }

  #comparison(key: string, symbol: string): LabelRequirement {
    switch (symbol) {
      case '=':
      case '==':
        return { key, operator: 'In', values: [this.#value()] };
      case '!=':
        return { key, operator: 'NotIn', values: [this.#value()] };
      case 'in':
        return { key, operator: 'In', values: this.#set() };
      case 'notin':
        return { key, operator: 'NotIn', values: this.#set() };
      case '>':
      case '<': {
        const value = this.#value();
        if (toInteger(value) === undefined) throw this.#invalid(`"${value}" is no integer`);
        return { key, operator: symbol === '>' ? 'Gt' : 'Lt', values: [value] };
      }
      default:
        throw this.#unexpected(symbol, 'in, notin, =, ==, !=, > or <');
    }
  }

  /** A missing value is the empty one: `a=` and `a=,b`. */
  #value(): string {
    const next = this.#peek();
    if (next === '' || next === ',') return '';
    return this.#word();
  }

  #word(): string {
    const word = this.#take();
    if (!isWord(word)) throw this.#unexpected(word, 'a label value');
    if (!isLabelValue(word)) throw this.#invalid(`"${word}" is no valid label value`);
    return word;
  }

  /** `(a,b)`; an empty place is the empty value. */
  #set(): readonly string[] {
    this.#expect('(');
    const values = new Set<string>();
    for (;;) {
      values.add(isWord(this.#peek()) ? this.#word() : '');
      if (this.#peek() === ')') break;
      this.#expect(',');
    }
    this.#take();
    return [...values].sort();
  }

  #peek(): string {
    return this.#tokens[this.#at] ?? '';
  }

  #take(): string {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  #expect(symbol: string): void {
    const token = this.#take();
    if (token !== symbol) throw this.#unexpected(token, `'${symbol}'`);
  }

  #unexpected(token: string, expected: string) {
    return this.#invalid(`found '${token}', expected ${expected}`);
  }

  #invalid(reason: string) {
    return badRequest(`unable to parse label selector '${this.#text}': ${reason}`);
  }
}
