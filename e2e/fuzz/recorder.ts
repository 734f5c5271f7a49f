import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { type RecordingTarget, startTarget } from '../scenarios/identity-target.ts';
import { type TargetAnswer, answers } from './answers.ts';
import type { Protocol } from './fuzz-case.ts';
import { type Arrival, pairsOf } from './observed.ts';

/** The number of a case, and of the answer that it is to get. */
export const CASE_HEADER = 'x-fuzz-case';
export const ANSWER_HEADER = 'x-fuzz-answer';

export interface Recorder {
  readonly target: RecordingTarget;
  /** All that came since the last time, when no request is left on its way in. */
  take(): Promise<readonly Arrival[]>;
}

/** Starts a target that keeps whole requests and answers as they ask for. */
export async function startRecorder(protocol: Protocol): Promise<Recorder> {
  let arrivals: Arrival[] = [];
  let running = 0;
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = [];
    let isOver = false;
    running += 1;
    const over = (whole: boolean): void => {
      if (isOver) return;
      isOver = true;
      running -= 1;
      const headers = pairsOf(request.rawHeaders).filter(([name]) => !name.startsWith(':'));
      const { method = '', url: path = '', httpVersion } = request;
      arrivals.push({ protocol: httpVersion, method, path, headers, body: Buffer.concat(chunks), whole });
      if (whole) respond(request, response, answers[Number(request.headers[ANSWER_HEADER])]);
    };
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.once('aborted', () => over(false));
    request.once('end', () => over(true));
    request.once('close', () => over(false));
  };
  const target = await startTarget({ ...(protocol === 'http/1.1' && { protocol }), answer });
  return {
    target,
    async take() {
      for (let waited = 0; running > 0 && waited < 300; waited += 5) await sleep(5);
      const taken = arrivals;
      arrivals = [];
      target.requests.length = 0;
      return taken;
    },
  };
}

function respond(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body, length }: TargetAnswer = {
    status: 200,
    headers: [],
    body: Buffer.alloc(0),
    length: true,
  },
): void {
  const lines = length ? [...headers, 'Content-Length', String(body.length)] : [...headers];
  // node:http2 takes names and values by one; the lines must stay as they are.
  if (request.httpVersionMajor === 2) {
    const { stream } = response as ServerResponse & {
      readonly stream: {
        respond(lines: readonly string[]): void;
        end(body?: Buffer): void;
        destroyed: boolean;
      };
    };
    if (stream.destroyed) return;
    stream.respond([
      ':status',
      String(status),
      ...lines.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text)),
    ]);
    if (!hasNoBody(request.method, status)) stream.end(body);
    else stream.end();
    return;
  }
  response.writeHead(status, lines);
  if (!hasNoBody(request.method, status) && body.length > 0) response.write(body);
  response.end();
}

const hasNoBody = (method: string | undefined, status: number): boolean =>
  method === 'HEAD' || status === 204 || status === 304;
