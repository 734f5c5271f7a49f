import type { HeaderPair } from './fuzz-case.ts';
import type { Answer } from './observed.ts';

export interface ParsedAnswer {
  readonly answer: Answer;
  /** Bytes that it took. */
  readonly length: number;
}

/** Reads one final answer from the start of what came; undefined while it is not whole. */
export function parseAnswer(received: Buffer, method: string, ended: boolean): ParsedAnswer | undefined {
  const headEnd = received.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const [first = '', ...lines] = received.toString('latin1', 0, headEnd).split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? 0);
  const start = headEnd + 4;
  if (status >= 100 && status < 200) {
    const next = parseAnswer(received.subarray(start), method, ended);
    return next && { answer: next.answer, length: next.length + start };
  }
  const headers = lines.map((line): HeaderPair => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const body = bodyOf(received.subarray(start), { headers, ended, none: hasNoBody(method, status) });
  if (!body) return undefined;
  return { answer: { status, headers, body: body.bytes, whole: true }, length: start + body.length };
}

const hasNoBody = (method: string, status: number): boolean =>
  method === 'HEAD' || status === 204 || status === 304;

interface BodyOptions {
  readonly headers: readonly HeaderPair[];
  readonly ended: boolean;
  readonly none: boolean;
}

function bodyOf(
  rest: Buffer,
  { headers, ended, none }: BodyOptions,
): { bytes: Buffer; length: number } | undefined {
  if (none) return { bytes: Buffer.alloc(0), length: 0 };
  const value = (wanted: string) => headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
  if (value('transfer-encoding') !== undefined) return chunksOf(rest);
  const length = value('content-length');
  if (length === undefined) return ended ? { bytes: rest, length: rest.length } : undefined;
  const size = Number(length);
  return rest.length < size ? undefined : { bytes: rest.subarray(0, size), length: size };
}

function chunksOf(rest: Buffer): { bytes: Buffer; length: number } | undefined {
  const parts: Buffer[] = [];
  for (let at = 0; ;) {
    const lineEnd = rest.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(rest.toString('latin1', at, lineEnd), 16);
    const start = lineEnd + 2;
    if (size === 0) {
      const end = rest.indexOf('\r\n', start);
      return end === start ? { bytes: Buffer.concat(parts), length: start + 2 } : undefined;
    }
    if (!(rest.length >= start + size + 2)) return undefined;
    parts.push(rest.subarray(start, start + size));
    at = start + size + 2;
  }
}
