import { huffmanCodes, huffmanLengths } from '../huffman.ts';

/** How many bytes `huffmanWrite` writes. The gateway itself sends plain text, which costs less (hpack-encoder.ts). */
export function huffmanBytes(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i += 1) bits += huffmanLengths[text.charCodeAt(i) & 255] ?? 0;
  return (bits + 7) >>> 3;
}

/** Writes latin1 text as Huffman code, padded to a whole byte; returns where it ends. */
export function huffmanWrite(text: string, target: Buffer, at: number): number {
  let end = at;
  let held = 0;
  let bits = 0;
  for (let i = 0; i < text.length; i += 1) {
    const symbol = text.charCodeAt(i) & 255;
    let code = huffmanCodes[symbol] ?? 0;
    let length = huffmanLengths[symbol] ?? 0;
    if (length > 24) {
      // With up to seven bits held, the whole code would not fit into 32.
      held = (held << (length - 16)) | (code >>> 16);
      for (bits += length - 16; bits >= 8;) target[end++] = held >>> (bits -= 8);
      code &= 0xffff;
      length = 16;
    }
    held = (held << length) | code;
    for (bits += length; bits >= 8;) target[end++] = held >>> (bits -= 8);
  }
  if (bits > 0) target[end++] = (held << (8 - bits)) | (255 >>> bits);
  return end;
}
