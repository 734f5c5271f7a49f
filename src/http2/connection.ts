import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { countRead } from '../base/read-buffers.ts';
import {
  Http2ConnectionError,
  broken,
  defaultMaxFrameBytes,
  errorCode,
  frameFlag,
  frameType,
  maxStreamId,
  overflown,
  setting,
  wrongSize,
} from './frame.ts';
import type { Http2ConnectionOptions, Http2ConnectionOwner, RequestTaker } from './connection-options.ts';
import { FrameReader } from './frame-reader.ts';
import type { FrameHead } from './frame-reader.ts';
import { FrameSender } from './frame-sender.ts';
import { HeaderBlocks } from './header-blocks.ts';
import { checkRequestHead, nothingPromised } from './message-check.ts';
import { withoutPadding } from './padding.ts';
import { Patience } from './patience.ts';
import { PrefaceReader } from './preface.ts';
import { ReceiveCredit } from './receive-credit.ts';
import { readSettings, silentPeer } from './settings.ts';
import type { PeerSettings } from './settings.ts';
import { StreamTable } from './stream-table.ts';
import { Http2Stream, silentListener } from './stream.ts';
import type { StreamListener, StreamOwner } from './stream.ts';

/** Answers to PING and the like that the peer does not take. */
const mostUntakenBytes = 2 * 1024 * 1024;
/** How long a connection that was ended may take to send its last bytes. */
const farewellMs = 1_000;

/**
 * One HTTP/2 connection (RFC 9113), either side. It owns the socket. Whatever the peer sends is answered within this call
 * or by the listeners of its streams; nothing a peer does makes it keep more than the options say.
 */
export class Http2Connection implements StreamOwner {
  readonly streamWindowBytes: number;
  readonly #socket: Duplex;
  readonly #options: Http2ConnectionOptions;
  readonly #owner: Http2ConnectionOwner;
  readonly #reader = new FrameReader((head, payload) => this.#onFrame(head, payload));
  readonly #sender: FrameSender;
  readonly #credit: ReceiveCredit;
  readonly #blocks: HeaderBlocks;
  readonly #streams = new StreamTable<Http2Stream>();
  readonly #patience = new Patience();
  #peer = silentPeer;
  readonly #preface: PrefaceReader | undefined;
  #hasSettings = false;
  #lastLocalId: number;
  #lastPeerId = 0;
  /** The stream up to which requests are taken; what is above was never begun. */
  #goawayId = maxStreamId;
  #ending = false;
  /** Ended by an error: what still comes is not looked at. */
  #failed = false;
  #closed = false;
  #error: Error | undefined;

  constructor(socket: Duplex, options: Http2ConnectionOptions, owner: Http2ConnectionOwner) {
    const isClient = !options.requests;
    this.#socket = socket;
    this.#options = options;
    this.#owner = owner;
    this.streamWindowBytes = options.streamWindowBytes;
    this.#blocks = new HeaderBlocks(options.maxHeaderBytes);
    this.#preface = isClient ? undefined : new PrefaceReader();
    this.#lastLocalId = isClient ? -1 : 0;
    this.#sender = new FrameSender(socket, () => this.#endWhenDone());
    this.#credit = new ReceiveCredit({
      windowBytes: options.connectionWindowBytes,
      maxUnreadBytes: options.maxUnreadBytes,
      give: (bytes) => this.#sender.windowUpdate(0, bytes),
    });
    this.#sender.begin(
      { ...options, maxConcurrentStreams: options.requests?.maxConcurrentStreams },
      options.connectionWindowBytes,
    );
    // Each frame counts; what can wait for others is put together here.
    if (socket instanceof Socket) socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#onBytes(chunk));
    socket.on('error', (error: Error) => (this.#error ??= error));
    // Nobody can take what would still be sent: HTTP/2 knows no half-closed connections.
    socket.on('end', () => this.destroy());
    socket.on('close', () => this.#onClosed());
  }

  get peer(): PeerSettings {
    return this.#peer;
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** No new streams: one of the sides has said so, or the connection is over. */
  get ending(): boolean {
    return this.#ending || this.#closed;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Why it ended, or is about to. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** Begins a stream (clients); undefined: no more can be begun on this connection. */
  request(
    lines: readonly string[],
    options: { readonly endStream: boolean; readonly isHead: boolean; readonly listener: StreamListener },
  ): Http2Stream | undefined {
    if (this.ending || this.#lastLocalId + 2 > maxStreamId) return undefined;
    this.#lastLocalId += 2;
    const stream = new Http2Stream({
      ...{ owner: this, sender: this.#sender, id: this.#lastLocalId },
      listener: options.listener,
      remote: { headIsIn: false, ended: false, contentLength: -1 },
      hasNoBody: options.isHead,
      windows: { send: this.#peer.initialWindowSize, receive: this.streamWindowBytes },
    });
    stream.sendHead(lines, options.endStream);
    this.#streams.add(stream);
    return stream;
  }

  readonly ping = (): void => this.#sender.ping();

  /** Takes no new streams, and ends when those that run have: GOAWAY says which those are (RFC 9113 6.8). */
  finish(): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    this.#goaway(errorCode.noError);
    this.#endWhenDone();
  }

  /** Ends the connection with an error that the peer is told. */
  fail(code: number, message: string): void {
    if (this.#closed || this.#failed) return;
    this.#failed = true;
    this.#error ??= new Http2ConnectionError(code, message);
    this.#ending = true;
    this.#goaway(code);
    this.#sender.end();
    this.#loseStreams(code);
    setTimeout(() => this.destroy(), farewellMs).unref();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** For streams: somebody has read. */
  consumed(bytes: number): void {
    this.#credit.read(bytes);
  }

  onStreamClosed(stream: Http2Stream): void {
    this.#streams.delete(stream.id);
    if (this.#ending && this.#streams.size === 0) this.#endWhenDone();
  }

  #goaway(code: number): void {
    this.#goawayId = Math.min(this.#goawayId, this.#lastPeerId);
    this.#sender.goaway(this.#lastPeerId, code);
  }

  #endWhenDone(): void {
    if (this.#ending && this.#streams.size === 0) this.#sender.end();
  }

  #onClosed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sender.drop();
    this.#loseStreams(errorCode.cancel);
    this.#owner.onClose(this.#error);
  }

  #loseStreams(code: number): void {
    for (const stream of this.#streams.values()) stream.lose(code);
  }

  #onBytes(chunk: Buffer): void {
    countRead(chunk.length);
    if (this.#failed) return;
    try {
      const frames = this.#preface?.isDone === false ? this.#preface.read(chunk) : chunk;
      if (frames.length > 0) this.#reader.read(frames);
    } catch (error) {
      if (!(error instanceof Http2ConnectionError)) throw error;
      this.fail(error.code, error.message);
    }
    // Data waits by its own limits, a piece of 64 KiB or two of each stream; beyond them is what a peer made us answer and does not read.
    const mostData = this.#streams.size * 8 * defaultMaxFrameBytes;
    if (this.#sender.pendingBytes > mostUntakenBytes + mostData) this.destroy();
  }

  #onFrame(head: FrameHead, payload: Buffer): void {
    if (this.#failed) return;
    const { type, flags, streamId: id } = head;
    if (!this.#hasSettings && type !== frameType.settings) throw broken('the first frame is not SETTINGS');
    if (this.#blocks.isOpen && (type !== frameType.continuation || id !== this.#blocks.streamId))
      throw broken('a frame between HEADERS and CONTINUATION');
    switch (type) {
      case frameType.data:
        this.#onData(flags, id, payload);
        return;
      case frameType.headers:
        if (id === 0) throw broken('HEADERS without a stream');
        this.#blocks.begin(flags, id, payload);
        if (flags & frameFlag.endHeaders) this.#onHeaders(id);
        return;
      case frameType.continuation:
        this.#blocks.continue(flags, id, payload);
        if (flags & frameFlag.endHeaders) this.#onHeaders(id);
        return;
      case frameType.rstStream:
        this.#onReset(id, payload);
        return;
      case frameType.windowUpdate:
        this.#onWindowUpdate(id, payload);
        return;
      default:
        this.#onControl(head, payload);
    }
  }

  /** Frames that bring no request forward: a peer may send some of them, not only them. */
  #onControl({ type, flags, streamId: id }: FrameHead, payload: Buffer): void {
    this.#patience.take();
    switch (type) {
      case frameType.settings:
        this.#onSettings(flags, id, payload);
        return;
      case frameType.ping:
        if (id !== 0) throw broken('PING of a stream');
        if (payload.length !== 8) throw wrongSize('PING');
        if (flags & frameFlag.ack) this.#owner.onPong();
        else this.#sender.ping(frameFlag.ack, payload);
        return;
      case frameType.goaway:
        if (id !== 0) throw broken('GOAWAY of a stream');
        if (payload.length < 8) throw wrongSize('GOAWAY');
        this.#onGoaway(payload.readUInt32BE(0) & 0x7fffffff, payload.readUInt32BE(4));
        return;
      case frameType.priority:
        if (id === 0) throw broken('PRIORITY without a stream');
        if (payload.length !== 5) throw wrongSize('PRIORITY');
        return;
      case frameType.pushPromise:
        // Never allowed: clients say so in their settings, and servers are not pushed to.
        throw broken('PUSH_PROMISE');
      default:
      // RFC 9113 4.1: what is not known is ignored.
    }
  }

  #onSettings(flags: number, id: number, payload: Buffer): void {
    if (id !== 0) throw broken('SETTINGS of a stream');
    if (flags & frameFlag.ack) {
      if (payload.length > 0) throw wrongSize('SETTINGS');
      if (!this.#hasSettings) throw broken('the first frame is an acknowledgement');
      return;
    }
    const before = this.#peer.initialWindowSize;
    this.#peer = readSettings(payload, this.#peer, {
      [setting.headerTableSize]: (bytes) => this.#sender.setPeerTableBytes(bytes),
    });
    this.#hasSettings = true;
    this.#sender.setMaxFrameBytes(this.#peer.maxFrameSize);
    const difference = this.#peer.initialWindowSize - before;
    if (difference !== 0) {
      for (const stream of this.#streams.values())
        if (!stream.grow(difference)) throw overflown('a window larger than there can be');
    }
    this.#sender.settingsAck();
    this.#owner.onSettings();
  }

  #onGoaway(lastStreamId: number, code: number): void {
    if (!this.#options.requests) {
      this.#ending = true;
      this.#owner.onGoaway(lastStreamId);
      // What the peer has not looked at can be sent elsewhere at once.
      for (const stream of this.#streams.values())
        if (stream.id > lastStreamId) stream.receiveReset(errorCode.refusedStream);
      if (code !== errorCode.noError) {
        this.#error ??= new Http2ConnectionError(code, 'the peer ended the connection');
        this.destroy();
      }
    } else this.finish();
    this.#endWhenDone();
  }

  #onHeaders(id: number): void {
    const { endStream, lines } = this.#blocks.end();
    this.#patience.restore();
    const stream = this.#streams.get(id);
    if (stream) {
      if (lines) stream.receiveHeaders(lines, endStream);
      else stream.reset(errorCode.enhanceYourCalm);
      return;
    }
    const { requests } = this.#options;
    if (!requests) {
      // The answer to a stream that was reset may still be on its way.
      if (!this.#isKnown(id)) throw broken('an answer to what was not asked');
      return;
    }
    if (id % 2 === 0) throw broken('a stream of the wrong side');
    // A stream that was reset or is over; the block had to be read for what it does to the table.
    if (id <= this.#lastPeerId) return;
    if (id > this.#goawayId || this.#ending) return;
    this.#lastPeerId = id;
    this.#begin(requests, { id, lines, endStream });
  }

  #begin(
    requests: RequestTaker,
    { id, lines, endStream }: { id: number; lines: string[] | undefined; endStream: boolean },
  ): void {
    if (this.#streams.size >= requests.maxConcurrentStreams) {
      this.#sender.reset(id, errorCode.refusedStream);
      this.#patience.take();
      return;
    }
    const head = lines ? checkRequestHead(lines) : nothingPromised;
    if (!head || (endStream && head.contentLength > 0)) {
      this.#sender.reset(id, errorCode.protocolError);
      this.#patience.take();
      return;
    }
    const stream = new Http2Stream({
      ...{ owner: this, sender: this.#sender, id },
      listener: silentListener,
      remote: { headIsIn: true, ended: endStream, contentLength: head.contentLength },
      hasNoBody: false,
      windows: { send: this.#peer.initialWindowSize, receive: this.streamWindowBytes },
    });
    this.#streams.add(stream);
    if (lines) requests.onRequest(stream, lines, endStream);
    else requests.onHeadTooLarge(stream);
  }

  /** Only clients begin streams. */
  #isKnown(id: number): boolean {
    return id % 2 === 1 && id <= (this.#options.requests ? this.#lastPeerId : this.#lastLocalId);
  }

  #onData(flags: number, id: number, payload: Buffer): void {
    if (id === 0) throw broken('DATA without a stream');
    const bytes = payload.length;
    if (!this.#credit.take(bytes)) throw overflown('more DATA than there is room for');
    const data = flags & frameFlag.padded ? withoutPadding(payload) : payload;
    const endStream = (flags & frameFlag.endStream) !== 0;
    if (data.length > 0) this.#patience.restore();
    else if (!endStream) this.#patience.take();
    const stream = this.#streams.get(id);
    if (stream) {
      this.#credit.keep(bytes);
      // What is kept must not keep the much larger piece that it came in.
      const kept = data.length * 4 < data.buffer.byteLength ? Buffer.from(data) : data;
      if (!stream.receiveData(kept, bytes, endStream)) stream.reset(errorCode.flowControlError);
    } else if (!this.#isKnown(id) && !(this.#ending && id > this.#goawayId)) {
      throw broken('DATA of a stream that is none');
    }
    this.#credit.giveBack();
  }

  #onReset(id: number, payload: Buffer): void {
    if (payload.length !== 4) throw wrongSize('RST_STREAM');
    const stream = this.#streams.get(id);
    if (stream) stream.receiveReset(payload.readUInt32BE(0));
    else if (id === 0 || (!this.#isKnown(id) && !this.#ending)) throw broken('RST_STREAM of no stream');
    else this.#patience.take();
  }

  #onWindowUpdate(id: number, payload: Buffer): void {
    if (payload.length !== 4) throw wrongSize('WINDOW_UPDATE');
    const bytes = payload.readUInt32BE(0) & 0x7fffffff;
    if (id === 0) {
      if (bytes === 0) throw broken('WINDOW_UPDATE of nothing');
      if (!this.#sender.growWindow(bytes)) throw overflown('a window larger than there can be');
      return;
    }
    const stream = this.#streams.get(id);
    if (stream) {
      if (bytes === 0) stream.reset(errorCode.protocolError);
      else if (!stream.grow(bytes)) stream.reset(errorCode.flowControlError);
    } else if (!this.#isKnown(id) && !this.#ending) throw broken('WINDOW_UPDATE of no stream');
  }
}
