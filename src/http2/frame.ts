/** Frame types (RFC 9113 6). */
export const frameType = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rstStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

/** Flags of frames; END_STREAM and ACK are one bit on different frames. */
export const frameFlag = {
  none: 0x0,
  endStream: 0x1,
  ack: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

/** Type and flags of a frame as one number. */
export function frameKind(type: number, flags: number = frameFlag.none): number {
  return (type << 8) | flags;
}

/** Parameters of SETTINGS (RFC 9113 6.5.2). */
export const setting = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
} as const;

/** Error codes (RFC 9113 7). */
export const errorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  enhanceYourCalm: 0xb,
} as const;

const errorNames =
  'NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED'.split(
    ' ',
  );

/** The name that RFC 9113 7 gives to a code. */
export function errorName(code: number): string {
  return errorNames[code] ?? `code ${code}`;
}

/** What a client sends first (RFC 9113 3.4). */
export const clientPreface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Bytes in front of each frame's payload: length (3), type, flags, stream (4). */
export const frameHeaderBytes = 9;

/** The largest payload that needs no agreement, and the most that we take (RFC 9113 4.2). */
export const defaultMaxFrameBytes = 16_384;

export const defaultWindowBytes = 65_535;
export const maxWindowBytes = 2 ** 31 - 1;
export const maxStreamId = 2 ** 31 - 1;

/** The connection cannot go on: GOAWAY with the code says so (RFC 9113 5.4.1). */
export class Http2ConnectionError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Something that RFC 9113 forbids, whoever sent it. */
export function broken(what: string): Http2ConnectionError {
  return new Http2ConnectionError(errorCode.protocolError, what);
}

export function wrongSize(what: string): Http2ConnectionError {
  return new Http2ConnectionError(errorCode.frameSizeError, `${what} of a wrong size`);
}

/** More bytes than a window has, or can have. */
export function overflown(what: string): Http2ConnectionError {
  return new Http2ConnectionError(errorCode.flowControlError, what);
}
