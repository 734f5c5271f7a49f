import type { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import type { ReadDocument } from '../kube/json-text.ts';
import { parseJsonText } from '../kube/json-text.ts';
import { StatusError, badRequest, entityTooLarge, unsupportedMediaType } from '../kube/status.ts';
import { parseYamlText } from '../kube/yaml-text.ts';
import { requestContext } from './request-context.ts';

/** Bytes; kube-apiserver's MaxRequestBodyBytes. */
const MAX_BODY_BYTES = 3 * 1024 * 1024;

export const OBJECT_TYPES: readonly string[] = ['application/json', 'application/yaml'];
export const PATCH_TYPES = ['application/json-patch+json', 'application/merge-patch+json'] as const;
export type PatchType = (typeof PATCH_TYPES)[number];

/** Reads an object of a caller: JSON or YAML, as its content type says. Throws 400, 413 and 415 StatusErrors. */
export async function readDocument(request: FastifyRequest): Promise<ReadDocument> {
  const mediaType = contentTypeOf(request) ?? 'application/json';
  if (!OBJECT_TYPES.includes(mediaType)) throw unsupportedMediaType(OBJECT_TYPES);
  const text = decodeText(await readBody(request));
  return mediaType === 'application/yaml' ? parseYamlText(text) : parseJsonText(text);
}

/** As {@link readDocument}, where a body may be missing: undefined then, whatever its content type says. */
export async function readOptionalDocument(request: FastifyRequest): Promise<ReadDocument | undefined> {
  const bytes = await readBody(request);
  if (bytes.length === 0) return undefined;
  const mediaType = contentTypeOf(request) ?? 'application/json';
  if (!OBJECT_TYPES.includes(mediaType)) throw unsupportedMediaType(OBJECT_TYPES);
  return mediaType === 'application/yaml'
    ? parseYamlText(decodeText(bytes))
    : parseJsonText(decodeText(bytes));
}

/** Throws a 415 StatusError for strategic-merge, apply and other patches than JSON and merge patches. */
export function patchTypeOf(request: FastifyRequest): PatchType {
  const mediaType = contentTypeOf(request);
  const found = PATCH_TYPES.find((each) => each === mediaType);
  if (!found) throw unsupportedMediaType(PATCH_TYPES);
  return found;
}

export async function readPatch(request: FastifyRequest): Promise<ReadDocument> {
  return parseJsonText(decodeText(await readBody(request)));
}

/** Without its parameters, in lower case; undefined where there is none. */
function contentTypeOf({ headers }: FastifyRequest): string | undefined {
  const header = headers['content-type'] ?? '';
  return header.split(';', 1)[0]?.trim().toLowerCase() || undefined;
}

function decodeText(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw badRequest('the body of the request is not UTF-8');
  }
}

async function readBody(request: FastifyRequest): Promise<Buffer> {
  const { body, signal } = requestContext(request.raw);
  if (!body) return Buffer.alloc(0);
  // Whoever says so at once need not be read at all.
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  return readAll(body, signal);
}

const tooLarge = () => entityTooLarge(`limit is ${MAX_BODY_BYTES}`);

/** Not by iteration, which would destroy the stream, and the answer with it, when it stops early. */
async function readAll(body: Readable, signal: AbortSignal): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let size = 0;
  const onData = (chunk: Buffer) => {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) reject(tooLarge());
    else chunks.push(chunk);
  };
  const onEnd = () => resolve(Buffer.concat(chunks));
  const onCut = () => reject(new StatusError('Timeout', 'the body of the request did not come to its end'));
  body.on('data', onData).on('end', onEnd).on('error', onCut).on('close', onCut);
  signal.addEventListener('abort', onCut, { once: true });
  if (signal.aborted || body.destroyed) onCut();
  try {
    return await promise;
  } finally {
    body.off('data', onData).off('end', onEnd).off('error', onCut).off('close', onCut);
    signal.removeEventListener('abort', onCut);
  }
}
