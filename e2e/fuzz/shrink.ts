import type { FuzzCase } from './fuzz-case.ts';

/** Most attempts for one case: each is two requests. */
const maxAttempts = 150;

/** The smallest case that was found of which the same is true. */
export async function shrink(
  fuzzCase: FuzzCase,
  isStillSo: (smaller: FuzzCase) => Promise<boolean>,
): Promise<FuzzCase> {
  let smallest = fuzzCase;
  let attempts = 0;
  for (let found = true; found;) {
    found = false;
    for (const smaller of smallerOnes(smallest)) {
      attempts += 1;
      if (attempts > maxAttempts) return smallest;
      if (!(await isStillSo(smaller))) continue;
      smallest = smaller;
      found = true;
      break;
    }
  }
  return smallest;
}

/** One step smaller each, the largest steps first. */
export function* smallerOnes(fuzzCase: FuzzCase): Generator<FuzzCase> {
  const { headers, body, query, path } = fuzzCase;
  if (headers.length > 1) yield { ...fuzzCase, headers: [] };
  if (body !== '') yield { ...fuzzCase, body: '' };
  if (body.length > 1) yield { ...fuzzCase, body: body.slice(0, body.length >> 1) };
  if (query !== undefined) yield { ...fuzzCase, query: undefined };
  if (path !== '/') yield { ...fuzzCase, path: '/' };
  for (const i of headers.keys()) yield { ...fuzzCase, headers: headers.toSpliced(i, 1) };
  if (query !== undefined && query !== '') {
    const parts = query.split('&');
    if (parts.length > 3) yield { ...fuzzCase, query: parts.slice(0, parts.length >> 1).join('&') };
    for (const i of parts.keys()) yield { ...fuzzCase, query: parts.toSpliced(i, 1).join('&') };
  }
  const segments = path.split('/');
  for (let i = 1; i < segments.length && segments.length > 2; i += 1)
    yield { ...fuzzCase, path: segments.toSpliced(i, 1).join('/') };
  for (const [i, [name, value]] of headers.entries())
    if (value.length > 8)
      yield { ...fuzzCase, headers: headers.toSpliced(i, 1, [name, value.slice(0, value.length >> 1)]) };
  if (fuzzCase.framing !== 'plain') yield { ...fuzzCase, framing: 'plain' };
  if (fuzzCase.answer !== 0) yield { ...fuzzCase, answer: 0 };
  if (fuzzCase.method !== 'GET') yield { ...fuzzCase, method: 'GET' };
  if (fuzzCase.protocol === 'h2') yield { ...fuzzCase, protocol: 'http/1.1' };
}
