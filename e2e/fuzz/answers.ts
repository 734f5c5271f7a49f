import { gzipSync } from 'node:zlib';

/** An answer that the target gives. */
export interface TargetAnswer {
  readonly status: number;
  /** Lines as name, value …; without the length. */
  readonly headers: readonly string[];
  readonly body: Buffer;
  /** Whether it says its length; else HTTP/1.1 has chunks. */
  readonly length: boolean;
}

const json = ['Content-Type', 'application/json'];
const text = ['content-type', 'text/plain'];
const large = Buffer.alloc(65_537, 'abc');

const answer = (
  status: number,
  headers: readonly string[],
  ...[body = '', length = true]: [body?: string | Buffer, length?: boolean]
): TargetAnswer => ({ status, headers, body: Buffer.from(body), length });

export const answers: readonly TargetAnswer[] = [
  answer(200, json, '{"kind":"Status"}'),
  answer(200, json, '{"kind":"Status"}', false),
  answer(200, [...json, 'Content-Encoding', 'gzip', 'Vary', 'Accept-Encoding'], gzipSync('{"a":1}')),
  answer(200, text, large),
  answer(200, text, large.subarray(1), false),
  answer(200, [], ''),
  answer(200, [], '', false),
  answer(201, [...json, 'Location', '/api/v1/x']),
  answer(204, ['X-A', '1', 'x-a', '2'], '', false),
  answer(206, [...text, 'Content-Range', 'bytes 0-1/2'], 'ab'),
  answer(304, ['ETag', '"x"'], '', false),
  answer(302, ['Location', 'https://elsewhere.test/']),
  answer(300, text, 'choices'),
  answer(401, [...text, 'WWW-Authenticate', 'Basic realm="x"', 'www-authenticate', 'Bearer'], 'no'),
  answer(403, [...json, 'Warning', '299 - "one"', 'Warning', '299 - "two"'], '{}'),
  answer(409, text, 'conflict', false),
  answer(429, [...text, 'Retry-After', '1', 'X-Kubernetes-PF-FlowSchema-UID', 'x'], 'later'),
  answer(500, [...text, 'Cache-Control', 'no-cache, private'], 'failed'),
  answer(503, [...text, 'Retry-After', 'Fri, 31 Dec 1999 23:59:59 GMT'], 'away'),
  answer(200, [...text, 'Set-Cookie', 'a=b', 'Alt-Svc', 'h2=":1"', 'X-Empty', ''], 'cookie'),
  answer(200, [...text, 'X-Latin', '\xe9', 'Server', 'x', 'Age', '3', 'Via', '1.1 y'], 'x'),
  answer(599, text, 'odd'),
  answer(418, [], 'tea'),
];
