export type Protocol = 'http/1.1' | 'h2';
export type HeaderPair = readonly [name: string, value: string];

/** How the bytes of an HTTP/1.1 request are spoiled, by name in framing.ts. */
export type Framing =
  | 'plain'
  | 'chunked'
  | 'chunk-extensions'
  | 'trailers'
  | 'bare-lf'
  | 'obs-fold'
  | 'length-and-chunks'
  | 'two-lengths'
  | 'same-length-twice'
  | 'negative-length'
  | 'plus-length'
  | 'hex-length'
  | 'early-end'
  | 'pipelined'
  | 'space-before-colon'
  | 'two-hosts'
  | 'bad-chunk-size'
  | 'te-identity'
  | 'te-twice'
  | 'cr-in-value';

/** One request, as text of bytes (latin1), and the answer that the target shall give. */
export interface FuzzCase {
  readonly protocol: Protocol;
  /** What the target speaks; one that speaks both is spoken to in HTTP/2 by the gateway. */
  readonly target: Protocol;
  readonly method: string;
  /** Below `…/proxy`; starts with `/`. */
  readonly path: string;
  /** Without `?`; undefined: none. */
  readonly query: string | undefined;
  readonly headers: readonly HeaderPair[];
  readonly body: string;
  readonly framing: Framing;
  /** Index into the answers of answers.ts. */
  readonly answer: number;
}

/** The request target below the cluster. */
export const targetOf = ({ path, query }: Pick<FuzzCase, 'path' | 'query'>): string =>
  query === undefined ? path : `${path}?${query}`;
