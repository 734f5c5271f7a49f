import type { Readable } from 'node:stream';
import { Failure } from '../base/failure.ts';
import type { FailureKind } from '../base/failure.ts';
import type { IncomingResponse } from '../net/transport.ts';

/** A line of a watch that cannot be understood: an event is missing, so what follows it must not be trusted either. */
export class UnreadableEvent extends Failure {
  constructor(message: string, kind: FailureKind = 'reset') {
    super(kind, message);
  }
}

/** Reads a whole body as UTF-8; rejects with `too-large` beyond the bound, before it is all in memory. */
export async function readBody({ body }: IncomingResponse, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw new Failure('too-large', `the hub's answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Parses JSON. The parser's own message quotes the text, which may be a Secret: it goes nowhere. */
export function parseJson(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
}

/**
 * The JSON values of a stream with one on each line. A line that is cut off by the end of the stream is dropped: the
 * watch goes on from the last whole event. One that is no JSON breaks the stream, for an event would be missing.
 */
export async function* jsonLines(stream: Readable, maxLineBytes: number): AsyncIterable<unknown> {
  // Pieces of one line, joined once when its end is there: joining at each chunk would make long lines quadratic.
  let pieces: Buffer[] = [];
  let size = 0;
  const add = (piece: Buffer) => {
    size += piece.length;
    if (size > maxLineBytes)
      throw new UnreadableEvent(`an event is larger than ${maxLineBytes} bytes`, 'too-large');
    pieces.push(piece);
  };
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      add(chunk.subarray(start, end));
      start = end + 1;
      // Decoded as a whole line: a character may stand across two chunks.
      const line = Buffer.concat(pieces).toString('utf8').trim();
      pieces = [];
      size = 0;
      if (line === '') continue;
      const parsed = parseJson(line);
      if (!parsed) throw new UnreadableEvent('a line of a watch is not JSON');
      yield parsed.value;
    }
    if (start < chunk.length) add(chunk.subarray(start));
  }
}
