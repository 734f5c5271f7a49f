import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';

import type { FuzzCase } from './fuzz-case.ts';
import type { Peer, Sender, Sent } from './http1-sender.ts';
import type { Envelope } from './framing.ts';
import { noAnswer, pairsOf } from './observed.ts';

type RawAnswer = [headers: { ':status'?: number }, flags: number, raw: string[]];

/** Sends cases over one HTTP/2 session; what Node itself refuses to send is no answer. */
export function createHttp2Sender({ port, caPem }: Peer): Sender {
  let session: ClientHttp2Session | undefined;
  const usable = (): ClientHttp2Session => {
    if (session && !session.closed && !session.destroyed) return session;
    session = connect(`https://127.0.0.1:${port}`, { ca: caPem });
    session.on('error', () => {});
    return session;
  };
  return {
    async send(fuzzCase, envelope) {
      let stream: ClientHttp2Stream;
      try {
        stream = usable().request(headerLines(fuzzCase, envelope), { endStream: fuzzCase.body === '' });
      } catch {
        return { answer: noAnswer, more: 0, unsent: true };
      }
      return answerOf(stream, fuzzCase);
    },
    close: () => session?.destroy(),
  };
}

function headerLines({ method, headers }: FuzzCase, { target, host, own }: Envelope): string[] {
  const pseudo = [':method', method, ':path', target, ':scheme', 'https', ':authority', host];
  return [...pseudo, ...[...own, ...headers].flat()];
}

async function answerOf(stream: ClientHttp2Stream, { body }: FuzzCase): Promise<Sent> {
  const chunks: Buffer[] = [];
  let status = 0;
  let raw: readonly string[] = [];
  let whole = false;
  stream.on('error', () => {});
  stream.on('response', (...[headers, , lines]: RawAnswer) => {
    status = Number(headers[':status']);
    raw = lines;
  });
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('end', () => (whole = true));
  stream.setTimeout(5_000, () => stream.close(constants.NGHTTP2_CANCEL));
  if (body !== '') stream.end(Buffer.from(body, 'latin1'));
  await new Promise<void>((resolve) => stream.once('close', () => resolve()));
  if (status === 0) return { answer: noAnswer, more: 0 };
  const headers = pairsOf(raw).filter(([name]) => !name.startsWith(':'));
  return { answer: { status, headers, body: Buffer.concat(chunks), whole }, more: 0 };
}
