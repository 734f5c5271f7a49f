import {
  Http2ConnectionError,
  defaultMaxFrameBytes,
  defaultWindowBytes,
  errorCode,
  frameKind,
  frameType,
  maxWindowBytes,
  setting,
} from './frame.ts';
import type { Http2Output } from './output.ts';

/** What a peer said of itself, as far as it matters here. */
export interface PeerSettings {
  /** Streams that we may have open at once; `Infinity`: it does not say. */
  readonly maxConcurrentStreams: number;
  readonly initialWindowSize: number;
  /** The largest payload of the frames that we send: what the peer takes, and no more than {@link largestFrameBytes}. */
  readonly maxFrameSize: number;
}

/** As long as it has said nothing (RFC 9113 6.5.2). */
export const silentPeer: PeerSettings = {
  maxConcurrentStreams: Infinity,
  initialWindowSize: defaultWindowBytes,
  maxFrameSize: defaultMaxFrameBytes,
};

export interface OwnSettings {
  /** Of servers. */
  readonly maxConcurrentStreams: number | undefined;
  readonly streamWindowBytes: number;
  readonly maxHeaderBytes: number;
}

/** Larger ones would only make other streams wait longer. */
const largestFrameBytes = 2 * defaultMaxFrameBytes;
/** Of one frame; there are fewer parameters than this. */
const mostParameters = 64;

export function writeSettings(output: Http2Output, own: OwnSettings): void {
  const parameters: (readonly [number, number])[] = [
    [setting.enablePush, 0],
    [setting.initialWindowSize, own.streamWindowBytes],
    [setting.maxHeaderListSize, own.maxHeaderBytes],
  ];
  if (own.maxConcurrentStreams !== undefined)
    parameters.push([setting.maxConcurrentStreams, own.maxConcurrentStreams]);
  output.frame(frameKind(frameType.settings), 0, parameters.length * 6);
  for (const [id, value] of parameters) {
    output.uint16(id);
    output.uint32(value);
  }
}

/**
 * Reads SETTINGS (RFC 9113 6.5.2); what is not said stays as it was.
 * @throws Http2ConnectionError when a value cannot be
 */
export function readSettings(
  payload: Buffer,
  before: PeerSettings,
  also: Readonly<Record<number, (value: number) => void>>,
): PeerSettings {
  if (payload.length % 6 !== 0)
    throw new Http2ConnectionError(errorCode.frameSizeError, 'SETTINGS of a wrong size');
  if (payload.length > mostParameters * 6)
    throw new Http2ConnectionError(errorCode.enhanceYourCalm, 'too many parameters');
  const after = { ...before };
  for (let at = 0; at < payload.length; at += 6) {
    const id = payload.readUInt16BE(at);
    const value = payload.readUInt32BE(at + 2);
    if (id === setting.maxConcurrentStreams) after.maxConcurrentStreams = value;
    else if (id === setting.initialWindowSize) {
      if (value > maxWindowBytes)
        throw new Http2ConnectionError(errorCode.flowControlError, 'a window larger than there can be');
      after.initialWindowSize = value;
    } else if (id === setting.maxFrameSize) {
      if (value < defaultMaxFrameBytes || value >= 2 ** 24)
        throw new Http2ConnectionError(errorCode.protocolError, 'a frame size that cannot be');
      after.maxFrameSize = Math.min(value, largestFrameBytes);
    } else if (id === setting.enablePush && value > 1)
      throw new Http2ConnectionError(errorCode.protocolError, 'ENABLE_PUSH is neither 0 nor 1');
    also[id]?.(value);
  }
  return after;
}
