import { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { Failure } from '../base/failure.ts';
import type { IncomingResponse } from '../net/transport.ts';

/** Reads a whole body as UTF-8; rejects with `too-large` beyond the bound, before it is all in memory. */
export async function readBody({ body }: IncomingResponse, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) {
      body.destroy();
      throw new Failure('too-large', `the hub's answer is larger than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * The JSON values of a stream with one on each line. A line that is cut off by the end of the stream is dropped: the
 * watch goes on from the last whole event. One that is no JSON breaks the stream, for an event would be missing.
 */
export async function* jsonLines(stream: Readable, maxLineBytes: number): AsyncIterable<unknown> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    const text = rest + decoder.write(chunk);
    let start = 0;
    for (let end = text.indexOf('\n', start); end >= 0; end = text.indexOf('\n', start)) {
      const line = text.slice(start, end).trim();
      start = end + 1;
      if (line !== '') yield JSON.parse(line) as unknown;
    }
    rest = text.slice(start);
    if (rest.length > maxLineBytes)
      throw new Failure('too-large', `an event is larger than ${maxLineBytes} bytes`);
  }
}
