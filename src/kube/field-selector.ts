import { badRequest } from './status.ts';

export interface FieldRequirement {
  readonly field: string;
  readonly operator: '=' | '!=';
  readonly value: string;
}

/** All requirements must hold. The empty selector matches everything. */
export type FieldSelector = readonly FieldRequirement[];

/** Parses `metadata.name=x,metadata.namespace!=y`; `==` is `=`; values escape `\`, `,` and `=` by a backslash. */
export function parseFieldSelector(text: string): FieldSelector {
  return splitTerms(text)
    .filter((term) => term !== '')
    .sort()
    .map((term) => {
      const match = /^(.*?)(!=|==|=)(.*)$/su.exec(term);
      if (!match) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
      const [, field = '', operator, rest = ''] = match;
      return { field, operator: operator === '!=' ? '!=' : '=', value: unescapeValue(rest) };
    });
}

/** The value that an object's field must have, when the selector asks for exactly one. */
export function exactFieldValue(selector: FieldSelector, field: string): string | undefined {
  return selector.find((requirement) => requirement.field === field && requirement.operator === '=')?.value;
}

/** `fields` gives the object's value of each field that may be selected on. */
export function matchesFields(selector: FieldSelector, fields: Readonly<Record<string, string>>): boolean {
  return selector.every(
    ({ field, operator, value }) => ((fields[field] ?? '') === value) === (operator === '='),
  );
}

/** An escaped comma belongs to the term. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === ',') {
      terms.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...terms, text.slice(start)];
}

function unescapeValue(text: string): string {
  const bad = /^(?:[^\\,=]|\\[\\,=])*$/su.test(text);
  if (!bad) throw badRequest(`invalid field selector: '${text}' has an unescaped or badly escaped character`);
  return text.replace(/\\(.)/gsu, '$1');
}
