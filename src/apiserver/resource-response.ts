import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip as gzipCallback } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { stringify as toYaml } from 'yaml';
import type { QueryParameters } from '../kube/query.ts';
import { parseQuery, splitTarget } from '../kube/query.ts';
import type { Status } from '../kube/status.ts';
import { accepts, isPretty, negotiate } from './negotiation.ts';
import { requestContext } from './request-context.ts';

const gzip = promisify(gzipCallback);
/** Below this compressing costs more than it saves (apiserver responsewriters/writers.go). */
const gzipThreshold = 128 * 1024;

/** The query of the raw target: fastify's own parsing is never used, as two parsers are one too many. */
export function queryOf(request: FastifyRequest): QueryParameters {
  return parseQuery(splitTarget(request.raw.url ?? '').rawQuery);
}

export const acceptOf = (request: FastifyRequest) => request.headers.accept;

/** Writes an object in the format that was negotiated. */
export function encode(value: object, format: 'json' | 'yaml', request: FastifyRequest): string {
  // Lists share nothing on purpose: an alias in a document would surprise its readers.
  if (format === 'yaml') return toYaml(value, { aliasDuplicateObjects: false, lineWidth: 0 });
  const pretty = isPretty(queryOf(request).first('pretty'), request.headers['user-agent']);
  return `${JSON.stringify(value, undefined, pretty ? 2 : undefined)}\n`;
}

/** Answers with an object: never cached, compressed where it is large. */
export async function sendObject(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  value: object,
  format: 'json' | 'yaml' = 'json',
): Promise<FastifyReply> {
  requestContext(request.raw).audit?.responseObject(value);
  void reply.header('content-type', `application/${format}`);
  return sendBody({ request, reply }, Buffer.from(encode(value, format, request)));
}

async function sendBody(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  body: Buffer,
): Promise<FastifyReply> {
  if (body.length <= gzipThreshold) return reply.send(body);
  void reply.header('vary', ['accept-encoding', reply.getHeader('vary')].filter(Boolean).join(', '));
  if (!acceptsGzip(request.headers['accept-encoding'])) return reply.send(body);
  void reply.header('content-encoding', 'gzip');
  return reply.send(await gzip(body, { level: 1 }));
}

function acceptsGzip(header: string | string[] | undefined): boolean {
  return [header ?? []]
    .flat()
    .join(',')
    .split(',')
    .some((member) => /^\s*gzip\s*(?:;\s*q\s*=\s*(?!0(?:\.0*)?\s*$).*)?$/i.test(member));
}

/** In the caller's format where that can be known: a caller that accepts nothing of ours gets JSON. */
export function sendStatus(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  status: Status,
): FastifyReply {
  requestContext(request.raw).audit?.responseStatus(status);
  const format = formatOfErrors(request);
  void reply.code(status.code).headers({
    'content-type': `application/${format}`,
    'x-content-type-options': 'nosniff',
    ...retryAfter(status),
  });
  return reply.send(Buffer.from(encode(status, format, request)));
}

const retryAfter = ({ details }: Status) =>
  details?.retryAfterSeconds ? { 'retry-after': String(details.retryAfterSeconds) } : {};

function formatOfErrors(request: FastifyRequest): 'json' | 'yaml' {
  try {
    return negotiate(acceptOf(request), { stream: false }).format;
  } catch {
    return 'json';
  }
}

export function sendText(reply: FastifyReply, code: number, text: string): FastifyReply {
  return reply
    .code(code)
    .headers({ 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' })
    .send(Buffer.from(text));
}

/** Bytes of all warnings of one answer (apimachinery util/net, RFC 9110 has no limit, and clients do). */
const maxWarnings = 4 * 1024;

/** `Warning: 299 - "…"`, one line each: kubectl shows them. */
export function addWarnings(reply: FastifyReply, texts: readonly string[]): void {
  let left = maxWarnings;
  const lines = [...new Set(texts)].flatMap((text) => {
    const line = `299 - "${warningText(text)}"`;
    left -= line.length;
    return left < 0 ? [] : [line];
  });
  if (lines.length > 0) void reply.header('warning', lines);
}

/** Quoted as RFC 9110 5.6.4 has it, in UTF-8, without control characters. */
function warningText(text: string): string {
  const printable = text.slice(0, 256).replaceAll(/\p{C}/gu, '?').replaceAll(/["\\]/g, '\\$&');
  return Buffer.from(printable, 'utf8').toString('latin1');
}

/** A document that is made once, and known by the hash of its bytes. */
export interface StaticDocument {
  readonly body: Buffer;
  /** SHA-512 in upper-case hex, without quotes. */
  readonly hash: string;
  readonly contentType: string;
}

export function staticDocument(value: object, contentType = 'application/json'): StaticDocument {
  const body = Buffer.from(JSON.stringify(value));
  return { body, hash: createHash('sha512').update(body).digest('hex').toUpperCase(), contentType };
}

/** Answers 304 to a caller that has it already; that is how a hub polls. */
export async function sendDocument(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  { body, hash, contentType }: StaticDocument,
): Promise<FastifyReply> {
  const etag = `"${hash}"`;
  void reply.headers({ etag, vary: 'Accept' });
  if (matchesEtag(request.headers['if-none-match'], etag)) return reply.code(304).send();
  void reply.header('content-type', contentType);
  return sendBody({ request, reply }, body);
}

function matchesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((member) => ['*', etag, `W/${etag}`].includes(member.trim()));
}

/** OpenAPI documents are served as JSON only: a caller that wants nothing but protobuf is told so. */
export const acceptsJson = (request: FastifyRequest) => accepts(acceptOf(request), 'application/json');
