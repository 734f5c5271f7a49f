import { describe, expect, test } from 'vitest';
import { errorCode } from './frame.ts';
import { withoutPadding } from './padding.ts';

describe('padding', () => {
  test.each<[number[], number[]]>([
    [[0], []],
    [
      [0, 1, 2],
      [1, 2],
    ],
    [[1, 7, 0], [7]],
    [[2, 0, 0], []],
    [[255, ...Array<number>(256).fill(3)], [3]],
  ])('of %j leaves %j', (payload, left) => {
    expect([...withoutPadding(Buffer.from(payload))]).toEqual(left);
  });

  test.each([[[]], [[1]], [[3, 0, 0]], [[255, 0]]])(
    'that is more than there is (%j) is refused',
    (payload) => {
      expect(() => withoutPadding(Buffer.from(payload))).toThrow(
        expect.objectContaining({ code: errorCode.protocolError }),
      );
    },
  );
});
