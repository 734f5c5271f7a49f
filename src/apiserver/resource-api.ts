import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Log } from '../base/log.ts';
import type { AnyResource } from './resource.ts';

export interface ResourceApiOptions {
  readonly resources: readonly AnyResource[];
  readonly log: Log;
  /** Ends all watches, so that the server can drain. */
  readonly shutdown: AbortSignal;
  /** Milliseconds between the bookmarks of a watch; one minute as kube-apiserver. */
  readonly bookmarkIntervalMs?: number;
}

export interface ResourceApi {
  /** Answers one admitted request: {@link attachRequestContext} was called for it. */
  handle(request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse): void;
  /** Ends the watches and waits for what is being answered. */
  close(): Promise<void>;
}

/** Serves discovery, OpenAPI and the resources: everything behind admission but `connect` subresources. */
export declare function createResourceApi(options: ResourceApiOptions): Promise<ResourceApi>;
