import { HpackError } from './hpack-error.ts';

/**
 * RFC 7541 appendix B: the length of the code of each byte, one digit in base 36 each. The code is canonical (codes
 * ascend by length, then by symbol), so the lengths are all there is to know.
 */
const lengthDigits = [
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca',
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds',
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn',
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq',
  // The end of the string, which no string contains.
  'u',
].join('');
const endOfString = 256;
/** Bits of the code of each byte, and of the end of the string behind them. */
export const huffmanLengths = Uint8Array.from(Array.from(lengthDigits), (digit) => parseInt(digit, 36));
export const huffmanCodes = canonicalCodes();

function canonicalCodes(): Uint32Array {
  const found = new Uint32Array(huffmanLengths.length);
  let code = 0;
  for (let length = 1; length <= 30; length += 1, code <<= 1) {
    for (let symbol = 0; symbol <= endOfString; symbol += 1) {
      if (huffmanLengths[symbol] === length) found[symbol] = code++;
    }
  }
  return found;
}

// One step of the decoder reads a byte: the next state, how many bytes of text were completed (no code is shorter than
// five bits: two at most), and these. Up to twice as fast as half a byte a step, for 257 KiB once they are needed.
const countShift = 9;
const firstShift = 11;
const secondShift = 19;
const stateMask = 511;
// The states 0 to 7 are those after as many ones as that, of which RFC 7541 §5.2 makes the only valid padding.
const lastPaddingState = 7;
// A code has 256 branches; the state behind them is never left.
const failedState = 256;

let steps: Int32Array | undefined;

/** For each state of the decoder, a branch of the code tree, the states or ~symbols of the bits 0 and 1. */
function codeTree(): Int32Array {
  const tree = new Int32Array(2 * failedState);
  let states = lastPaddingState + 1;
  for (let state = 0; state < lastPaddingState; state += 1) tree[2 * state + 1] = state + 1;
  for (let symbol = 0; symbol <= endOfString; symbol += 1) {
    const code = huffmanCodes[symbol] ?? 0;
    let state = 0;
    for (let bit = (huffmanLengths[symbol] ?? 0) - 1; bit > 0; bit -= 1) {
      const branch = 2 * state + ((code >>> bit) & 1);
      // No branch leads back to the root, so 0 is one that is not there yet.
      state = tree[branch] ||= states++;
    }
    tree[2 * state + (code & 1)] = ~symbol;
  }
  return tree;
}

function buildSteps(): Int32Array {
  const tree = codeTree();
  const table = new Int32Array(256 * (failedState + 1)).fill(failedState, 256 * failedState);
  for (let at = 0; at < 256 * failedState; at += 1) {
    let state = at >>> 8;
    let emitted = 0;
    for (let bit = 7; bit >= 0 && state !== failedState; bit -= 1) {
      const next = tree[2 * state + ((at >>> bit) & 1)] ?? 0;
      state = next >= 0 ? next : ~next === endOfString ? failedState : 0;
      if (next >= 0 || state === failedState) continue;
      const isSecond = emitted >>> countShift > 0;
      emitted += (1 << countShift) | (~next << (isSecond ? secondShift : firstShift));
    }
    table[at] = emitted | state;
  }
  return table;
}

const scratchBytes = 4096;
const scratch = Buffer.allocUnsafeSlow(scratchBytes);

/** The text of a Huffman-coded string literal, one latin1 character a byte. Throws an `HpackError`. */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number): string {
  const table = (steps ??= buildSteps());
  // A byte of code is less than two bytes of text, and every step writes two.
  const most = 2 * (end - start);
  const target = most <= scratchBytes ? scratch : Buffer.allocUnsafeSlow(most);
  let state = 0;
  let length = 0;
  for (let at = start; at < end; at += 1) {
    state = table[((state & stateMask) << 8) | (bytes[at] ?? 0)] ?? 0;
    target[length] = state >>> firstShift;
    target[length + 1] = state >>> secondShift;
    length += (state >>> countShift) & 3;
  }
  if ((state & stateMask) > lastPaddingState)
    throw new HpackError('hpack: a string is not valid Huffman code');
  return target.toString('latin1', 0, length);
}
