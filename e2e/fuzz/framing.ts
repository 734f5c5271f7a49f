import type { Framing, FuzzCase, HeaderPair } from './fuzz-case.ts';

/** Where and as whom a case is sent. */
export interface Envelope {
  /** The whole request target. */
  readonly target: string;
  readonly host: string;
  /** Lines of ours: the caller's credential, the number of the case. */
  readonly own: readonly HeaderPair[];
}

/** The second request of a pipeline; the target answers it, too. */
export const PIPELINED = 'x-fuzz-second';

/** Whether the request ends before its body does, so that no answer to it means anything. */
export const isUnfinished = ({ framing }: Pick<FuzzCase, 'framing'>): boolean => framing === 'early-end';

/** The bytes of a case on an HTTP/1.1 connection. */
export function requestBytes(fuzzCase: FuzzCase, { target, host, own }: Envelope): Buffer {
  const { framing, method, headers, body } = fuzzCase;
  const spoil = spoilers[framing];
  const lines = [['Host', host] as const, ...own, ...headers].map(([name, value]) => `${name}: ${value}\r\n`);
  const framed = spoil(body);
  const head = `${method} ${target} HTTP/1.1\r\n${lines.join('')}${framed.lines}\r\n`;
  const text = framing === 'bare-lf' ? head.replaceAll('\r\n', '\n') : head;
  const second = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${ownLines(own)}${PIPELINED}: 1\r\n\r\n`;
  return Buffer.from(text + framed.body + (framing === 'pipelined' ? second : ''), 'latin1');
}

const ownLines = (own: readonly HeaderPair[]): string =>
  own.map(([name, value]) => `${name}: ${value}\r\n`).join('');

interface Framed {
  readonly lines: string;
  readonly body: string;
}

const hex = (size: number): string => size.toString(16);

/** Pieces of uneven sizes, in upper and lower case. */
export function chunked(body: string, extension = ''): string {
  let text = '';
  for (let at = 0, size = 1; at < body.length; at += size, size = (size * 3 + 1) % 30_011 || 1) {
    const piece = body.slice(at, at + size);
    const length = hex(piece.length);
    text += `${size % 2 === 0 ? length.toUpperCase() : `0${length}`}${extension}\r\n${piece}\r\n`;
  }
  return text;
}

const withLength = (body: string, length: string): Framed => ({
  lines: `Content-Length: ${length}\r\n`,
  body,
});
const inChunks = 'Transfer-Encoding: chunked\r\n';
const ofLength = (body: string): Framed => withLength(body, String(body.length));
const ofChunks = (body: string): Framed => ({ lines: inChunks, body: `${chunked(body)}0\r\n\r\n` });

const spoilers: Readonly<Record<Framing, (body: string) => Framed>> = {
  plain: (body) => (body === '' ? { lines: '', body } : ofLength(body)),
  chunked: ofChunks,
  'chunk-extensions': (body) => ({ lines: inChunks, body: `${chunked(body, ';a="b";c')}0;d\r\n\r\n` }),
  trailers: (body) => ({ lines: `Trailer: X-T\r\n${inChunks}`, body: `${chunked(body)}0\r\nX-T: 1\r\n\r\n` }),
  'bare-lf': ofLength,
  'obs-fold': (body) => ({ lines: `X-Folded: a\r\n b\r\n${ofLength(body).lines}`, body }),
  'length-and-chunks': (body) => ({
    lines: `Content-Length: ${body.length}\r\n${inChunks}`,
    body: `${chunked(body)}0\r\n\r\n`,
  }),
  'two-lengths': (body) => ({ lines: `Content-Length: ${body.length + 1}\r\n${ofLength(body).lines}`, body }),
  'same-length-twice': (body) => ({ lines: ofLength(body).lines.repeat(2), body }),
  'negative-length': (body) => withLength(body, '-1'),
  'plus-length': (body) => withLength(body, `+${body.length}`),
  'hex-length': (body) => withLength(body, `0x${hex(body.length)}`),
  'early-end': (body) => withLength(body, String(body.length + 10)),
  pipelined: ofLength,
  'space-before-colon': (body) => ({ lines: `X-Spaced : 1\r\n${ofLength(body).lines}`, body }),
  'two-hosts': (body) => ({ lines: `Host: other\r\n${ofLength(body).lines}`, body }),
  'bad-chunk-size': (body) => ({ lines: inChunks, body: `${chunked(body)}0x0\r\n\r\n` }),
  'te-identity': (body) => ({ lines: 'Transfer-Encoding: identity\r\n', body }),
  'te-twice': (body) => ({ lines: inChunks.repeat(2), body: `${chunked(body)}0\r\n\r\n` }),
  'cr-in-value': (body) => ({ lines: `X-Cr: a\rb\r\n${ofLength(body).lines}`, body }),
};
