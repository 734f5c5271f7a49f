import type { Socket } from 'node:net';

export const frameType = { headers: 1, reset: 3, settings: 4, goAway: 7, continuation: 9 };
const [endStream, endHeaders, ack] = [1, 4, 1];
const headerTableSize = 1;
const maxFrameBytes = 16_384;

export const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export function writeFrame(socket: Socket, { type, flags, streamId, payload }: Frame): void {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId, 5);
  socket.write(Buffer.concat([head, payload]));
}

/** A header block that ends its stream, in as many frames as it takes. */
export function writeBlock(socket: Socket, streamId: number, block: Buffer): void {
  for (let at = 0; at === 0 || at < block.length; at += maxFrameBytes) {
    const payload = block.subarray(at, at + maxFrameBytes);
    const last = at + maxFrameBytes >= block.length ? endHeaders : 0;
    const type = at === 0 ? frameType.headers : frameType.continuation;
    writeFrame(socket, { type, flags: at === 0 ? endStream | last : last, streamId, payload });
  }
}

export function writeTableSize(socket: Socket, bytes?: number): void {
  const payload = Buffer.alloc(bytes === undefined ? 0 : 6);
  if (bytes !== undefined) {
    payload.writeUInt16BE(headerTableSize, 0);
    payload.writeUInt32BE(bytes, 2);
  }
  writeFrame(socket, { type: frameType.settings, flags: 0, streamId: 0, payload });
}

export interface RawPeer {
  onBlock(streamId: number, block: Buffer): void;
  onTableSize?(bytes: number): void;
  onSettingsAck?(): void;
  /** RST_STREAM and GOAWAY, by the code of the error. */
  onError(type: number, code: number): void;
}

/** Reads frames as they come, and takes note of SETTINGS. No more of HTTP/2 than tests of header blocks need. */
export function readFrames(socket: Socket, skipBytes: number, peer: RawPeer): void {
  let held = Buffer.alloc(0);
  let toSkip = skipBytes;
  let block: Buffer[] = [];
  const onSettings = (payload: Buffer) => {
    for (let at = 0; at < payload.length; at += 6) {
      if (payload.readUInt16BE(at) === headerTableSize) peer.onTableSize?.(payload.readUInt32BE(at + 2));
    }
    writeFrame(socket, { type: frameType.settings, flags: ack, streamId: 0, payload: Buffer.alloc(0) });
  };
  const onFrame = ({ type, flags, streamId, payload }: Frame) => {
    if (type === frameType.settings && (flags & ack) !== 0) peer.onSettingsAck?.();
    else if (type === frameType.settings) onSettings(payload);
    else if (type === frameType.reset) peer.onError(type, payload.readUInt32BE(0));
    else if (type === frameType.goAway) peer.onError(type, payload.readUInt32BE(4));
    else if (type === frameType.headers || type === frameType.continuation) {
      // Priority stands before the block; nobody pads.
      block.push(type === frameType.headers && (flags & 0x20) !== 0 ? payload.subarray(5) : payload);
      if ((flags & endHeaders) === 0) return;
      const whole = Buffer.concat(block);
      block = [];
      peer.onBlock(streamId, whole);
    }
  };
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    const skipped = Math.min(toSkip, held.length);
    toSkip -= skipped;
    held = held.subarray(skipped);
    while (toSkip === 0 && held.length >= 9 && held.length >= 9 + held.readUIntBE(0, 3)) {
      const end = 9 + held.readUIntBE(0, 3);
      const [type, flags, streamId] = [held.readUInt8(3), held.readUInt8(4), held.readUInt32BE(5)];
      onFrame({ type, flags, streamId, payload: held.subarray(9, end) });
      held = held.subarray(end);
    }
  });
}
