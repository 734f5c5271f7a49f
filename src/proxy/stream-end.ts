import type { Readable } from 'node:stream';
import type { Exchange } from '../apiserver/exchange.ts';
import type { SpreadEnds } from '../base/spread-ends.ts';

/** The streams that are open, and will be told to end. */
export type StreamEnds = Pick<SpreadEnds, 'add'>;

/** Without a byte for this long, a stream of lines is between two of them. */
const quietMs = 100;
/** Nobody waits longer for the end of a line. */
const longestMs = 2_000;
const lineFeed = 0x0a;

/**
 * Lets a proxied stream of lines (a watch, a followed log) be ended in good order: behind a whole line, so that its
 * reader sees an end and not half an event.
 */
export function finishBetweenLines(exchange: Exchange, body: Readable, streams: StreamEnds): void {
  const remove = streams.add(() => {
    const forget = () => {
      clearTimeout(quiet);
      clearTimeout(longest);
      body.off('data', onData);
    };
    const finish = () => {
      forget();
      // Its reader does not read: what is written may end anywhere.
      if (body.isPaused()) exchange.abort();
      else exchange.finish();
    };
    const quiet = setTimeout(finish, quietMs);
    const longest = setTimeout(() => exchange.abort(), longestMs);
    const onData = (chunk: Buffer) => {
      if (chunk.at(-1) === lineFeed) finish();
      else quiet.refresh();
    };
    body.on('data', onData);
    exchange.onEnd(forget);
  });
  exchange.onEnd(remove);
}
