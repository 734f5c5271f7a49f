import { RE2JS } from 're2js';

/** Longer texts are not matched: the time of a match is that of the pattern times that of the text. */
export const MAX_TEXT_LENGTH = 1_024;
const maxPatternLength = 512;
/** Instructions of a compiled pattern: `(a{30}){30}` is short, but has 962. */
const maxProgramSize = 2_000;
const maxAnswers = 1_000;

/** Whether a text of up to {@link MAX_TEXT_LENGTH} characters has a match anywhere in it. */
export type IdentityPattern = (text: string) => boolean;

/**
 * Compiles a pattern in Go's syntax and with the meaning of its `regexp.MatchString`: `test-.*` is found in
 * `x-test-1`, too; who means the whole text writes `^…$`. Matching takes linear time, whatever the pattern, and
 * answers are remembered: users and groups come again. Throws an Error for a pattern that is wrong or too large.
 */
export function compileIdentityPattern(source: string): IdentityPattern {
  if (source.length > maxPatternLength) throw new Error(`it has more than ${maxPatternLength} characters`);
  const compiled = RE2JS.compile(source);
  if (compiled.programSize() > maxProgramSize) throw new Error('it is too large: it repeats too much');
  const answers = new Map<string, boolean>();
  return (text) => {
    const known = answers.get(text);
    if (known !== undefined) return known;
    const answer = compiled.test(text);
    if (answers.size >= maxAnswers) answers.clear();
    answers.set(text, answer);
    return answer;
  };
}
