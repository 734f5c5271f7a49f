import { Duplex } from 'node:stream';
import type { Readable } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { HeaderLines } from '../../base/header-lines.ts';
import { createHttp2NodePair } from '../http2-node-pair.ts';
import type { AnswerSink, Http2NodePair } from '../http2-node-pair.ts';

/** Notes what it is told, one word a call: `head`, `head!` (with the end), `write`, `end`, `abort`, `inform`. */
export class FakeAnswerSink implements AnswerSink {
  readonly calls: string[] = [];
  readonly informed: [number, string[]][] = [];
  status: number | undefined;
  lines: string[] = [];
  body = '';
  /** What `write` says. */
  hasRoom = true;
  /** Called when the answer is over, complete or not. */
  onOver: (complete: boolean) => void = () => {};

  head(status: number, lines: string[], endStream: boolean): void {
    this.calls.push(endStream ? 'head!' : 'head');
    this.status = status;
    this.lines = lines;
    if (endStream) this.onOver(true);
  }

  inform(status: number, lines: string[]): void {
    this.calls.push('inform');
    this.informed.push([status, lines]);
  }

  write(chunk: Buffer): boolean {
    this.calls.push('write');
    this.body += chunk.toString();
    return this.hasRoom;
  }

  end(): void {
    this.calls.push('end');
    this.onOver(true);
  }

  abort(): void {
    this.calls.push('abort');
    this.onOver(false);
  }

  /** The values of a header. */
  values(name: string): (string | undefined)[] {
    return this.lines.flatMap((line, i) => (i % 2 === 0 && line === name ? [this.lines[i + 1]] : []));
  }
}

export interface FakePairOptions {
  readonly method?: string;
  readonly target?: string;
  readonly headers?: HeaderLines;
  readonly authority?: string;
  readonly body?: Readable;
}

/** A pair that nobody is connected to, and what it says, `close` and its like included, in order. */
export function fakePair(options: FakePairOptions = {}): Http2NodePair & {
  readonly sink: FakeAnswerSink;
  readonly events: string[];
} {
  const sink = new FakeAnswerSink();
  const pair = createHttp2NodePair({
    method: 'GET',
    target: '/',
    headers: [],
    authority: 'gateway.example',
    socket: new TLSSocket(new Duplex({ read() {}, write() {} })),
    body: undefined,
    ...options,
    sink,
  });
  const events: string[] = [];
  for (const event of ['aborted', 'end', 'close'])
    pair.request.on(event, () => events.push(`request ${event}`));
  for (const event of ['drain', 'finish', 'close'])
    pair.response.on(event, () => events.push(`response ${event}`));
  return { ...pair, sink, events };
}
