/** One HTTP/2 frame (RFC 9113 §4.1). */
export function frame(type: number, flags: number, rest: { stream?: number; payload?: Buffer } = {}): Buffer {
  const { stream = 0, payload = Buffer.alloc(0) } = rest;
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
