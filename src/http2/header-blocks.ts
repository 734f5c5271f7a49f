import { Http2ConnectionError, errorCode, frameFlag } from './frame.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackError } from './hpack-error.ts';
import { withoutPadding } from './padding.ts';

/** What we allow a peer's encoder; the default, so that nothing need be said (RFC 7541 4.2). */
const tableBytes = 4096;
/** A block may come in many pieces; this many have nothing in them but their number. */
const mostFragments = 2048;

/** Header blocks: HEADERS and the CONTINUATION behind it, put together and decoded. */
export class HeaderBlocks {
  readonly #decoder: HpackDecoder;
  readonly #maxBytes: number;
  #fragments: Buffer[] = [];
  #bytes = 0;
  #streamId = 0;
  #endStream = false;

  constructor(maxHeaderBytes: number) {
    this.#decoder = new HpackDecoder({ maxTableBytes: tableBytes, maxListBytes: maxHeaderBytes });
    this.#maxBytes = maxHeaderBytes;
  }

  /** A block has begun and not ended: nothing else may come in between. */
  get isOpen(): boolean {
    return this.#streamId !== 0;
  }

  get streamId(): number {
    return this.#streamId;
  }

  begin(flags: number, streamId: number, payload: Buffer): void {
    let fragment = flags & frameFlag.padded ? withoutPadding(payload) : payload;
    if (flags & frameFlag.priority) {
      if (fragment.length < 5)
        throw new Http2ConnectionError(errorCode.frameSizeError, 'HEADERS of a wrong size');
      fragment = fragment.subarray(5);
    }
    this.#streamId = streamId;
    this.#endStream = (flags & frameFlag.endStream) !== 0;
    this.#bytes = fragment.length;
    this.#fragments.push(fragment);
  }

  continue(flags: number, streamId: number, payload: Buffer): void {
    if (streamId === 0 || streamId !== this.#streamId)
      throw new Http2ConnectionError(errorCode.protocolError, 'CONTINUATION of nothing');
    this.#bytes += payload.length;
    const isEmpty = payload.length === 0 && (flags & frameFlag.endHeaders) === 0;
    // CVE-2024-27983 and its kin: a block that never ends, of much or of nothing.
    if (isEmpty || this.#bytes > this.#maxBytes || this.#fragments.length >= mostFragments)
      throw new Http2ConnectionError(errorCode.enhanceYourCalm, 'a header block without an end');
    this.#fragments.push(payload);
  }

  /** The lines of the block; undefined: they are more than may be. */
  end(): { readonly endStream: boolean; readonly lines: string[] | undefined } {
    const [first = Buffer.alloc(0)] = this.#fragments;
    const block = this.#fragments.length === 1 ? first : Buffer.concat(this.#fragments, this.#bytes);
    this.#fragments = [];
    this.#streamId = 0;
    try {
      return { endStream: this.#endStream, lines: this.#decoder.decode(block) };
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
      throw new Http2ConnectionError(errorCode.compressionError, error.message);
    }
  }
}
