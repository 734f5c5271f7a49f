import type { Exchange } from '../apiserver/exchange.ts';
import { firstHeader } from '../base/header-lines.ts';
import { StatusError } from '../kube/status.ts';
import type { IncomingResponse, OutgoingRequest, Transport } from '../net/transport.ts';
import type { CarriedDeadline } from './carried-deadline.ts';
import { responseHeaders } from './headers.ts';
import { finishBetweenLines } from './stream-end.ts';
import type { StreamEnds } from './stream-end.ts';

export type Outgoing = Omit<OutgoingRequest, 'signal' | 'body' | 'onInformation'>;

/** Answers before the final one that a cluster may give to one request: more than any server has reason for. */
const mostInformation = 16;

/** With what a request is carried. */
export interface Carrier {
  readonly transport: Transport;
  readonly deadline: CarriedDeadline;
  /** Told of every stream that has no end of its own. */
  readonly streams?: StreamEnds | undefined;
  /** What to tell the caller beside an answer of that status, as the value of a Warning header. */
  readonly warn?: (status: number) => string | undefined;
}

/** Carries one ordinary request to the target and its answer back; gives the target's status. */
export async function forward(
  exchange: Exchange,
  { transport, deadline, streams, warn }: Carrier,
  outgoing: Outgoing,
): Promise<number> {
  let informed = 0;
  const response = await transport.request({
    ...outgoing,
    ...(exchange.body ? { body: exchange.body, onBodyProgress: deadline.onBodyProgress } : {}),
    onInformation: (status, headers) => {
      if ((informed += 1) <= mostInformation) exchange.inform(status, responseHeaders(headers));
    },
    signal: exchange.signal,
  });
  if (relayWhole(exchange, response, warn)) return response.status;
  relay(exchange, response, warn);
  deadline.answered(response.body);
  // A watch or a followed log has no end of its own: it gets one when the server stops.
  if (outgoing.longRunning && streams) finishBetweenLines(exchange, response.body, streams);
  return response.status;
}

/** An answer that is all here goes on in one piece: no stream has to be made for it. False: it is not. */
function relayWhole(exchange: Exchange, response: IncomingResponse, warn: Carrier['warn']): boolean {
  if (isRedirect(response)) return false;
  const body = response.takeWhole?.();
  if (!body) return false;
  exchange.respond(response.status, answerLines(response, warn), body);
  return true;
}

/** Gives the target's answer to the caller, untouched but for what belongs to one connection. */
export function relay(exchange: Exchange, response: IncomingResponse, warn?: Carrier['warn']): void {
  const { status, headers, body } = response;
  if (isRedirect(response)) {
    // A redirect could send the caller, or its credentials, to a place of the cluster's choosing (CVE-2022-3172);
    // kube-aggregator refuses it in the same way.
    body.destroy();
    throw new StatusError(
      'BadGateway',
      'the cluster attempted to redirect this request, which is not permitted',
    );
  }
  const trailers =
    firstHeader(headers, 'trailer') === undefined ? {} : { trailers: () => response.trailers() };
  exchange.stream(status, answerLines(response, warn), { body, ...trailers });
}

function answerLines({ status, headers }: IncomingResponse, warn: Carrier['warn']): string[] {
  const lines = responseHeaders(headers);
  const warning = warn?.(status);
  if (warning !== undefined) lines.push('warning', warning);
  return lines;
}

function isRedirect({ status, headers }: IncomingResponse): boolean {
  return status >= 300 && status < 400 && status !== 304 && firstHeader(headers, 'location') !== undefined;
}
