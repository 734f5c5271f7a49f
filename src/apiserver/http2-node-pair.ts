import { Http2NodeRequest } from './http2-node-request.ts';
import type { Http2NodeRequestOptions } from './http2-node-request.ts';
import { Http2NodeResponse } from './http2-node-response.ts';
import type { AnswerSink } from './http2-node-response.ts';

export type { AnswerSink, Http2NodeRequest, Http2NodeResponse };

export interface Http2NodePair {
  readonly request: Http2NodeRequest;
  readonly response: Http2NodeResponse;
}

/**
 * A request of HTTP/2 and its answer, for handlers written for Node's objects. Nothing of the body is touched before
 * the request is read; the exchange calls the response's `onDrain` and `onEnd`.
 */
export function createHttp2NodePair(
  options: Http2NodeRequestOptions & { readonly sink: AnswerSink },
): Http2NodePair {
  const request = new Http2NodeRequest(options);
  return { request, response: new Http2NodeResponse(request, options.sink) };
}
