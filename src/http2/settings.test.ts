import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { defaultMaxFrameBytes, errorCode, maxWindowBytes, setting } from './frame.ts';
import { Http2Output } from './output.ts';
import { readSettings, silentPeer, writeSettings } from './settings.ts';
import type { OwnSettings, PeerSettings } from './settings.ts';
import { turns } from './testing/joined-sockets.ts';
import { frames } from './testing/scripted-peer.ts';

type Parameters = readonly (readonly [number, number])[];
const payloadOf = (parameters: Parameters) => frames.settings(parameters).subarray(9);
const read = (parameters: Parameters, before: PeerSettings = silentPeer) =>
  readSettings(payloadOf(parameters), before, {});
const thrownBy = (run: () => unknown): unknown => {
  try {
    run();
  } catch (error) {
    return error;
  }
  return 'nothing';
};

describe('what a peer says', () => {
  test.each<[string, Parameters, Partial<PeerSettings>]>([
    ['nothing', [], {}],
    ['streams', [[setting.maxConcurrentStreams, 7]], { maxConcurrentStreams: 7 }],
    ['no streams', [[setting.maxConcurrentStreams, 0]], { maxConcurrentStreams: 0 }],
    [
      'the most streams',
      [[setting.maxConcurrentStreams, 2 ** 32 - 1]],
      { maxConcurrentStreams: 2 ** 32 - 1 },
    ],
    ['no window', [[setting.initialWindowSize, 0]], { initialWindowSize: 0 }],
    [
      'the largest window',
      [[setting.initialWindowSize, maxWindowBytes]],
      { initialWindowSize: maxWindowBytes },
    ],
    ['the smallest frames', [[setting.maxFrameSize, 16_384]], { maxFrameSize: 16_384 }],
    ['somewhat larger frames', [[setting.maxFrameSize, 20_000]], { maxFrameSize: 20_000 }],
    [
      'the largest frames, of which we use not all',
      [[setting.maxFrameSize, 2 ** 24 - 1]],
      { maxFrameSize: 32_768 },
    ],
    [
      'push or not',
      [
        [setting.enablePush, 0],
        [setting.enablePush, 1],
      ],
      {},
    ],
    [
      'what nobody knows',
      [
        [0, 1],
        [7, 2 ** 32 - 1],
        [0xffff, 5],
      ],
      {},
    ],
    [
      'the last of two counts',
      [
        [setting.initialWindowSize, 1],
        [setting.initialWindowSize, 2],
      ],
      { initialWindowSize: 2 },
    ],
  ])('%s', (_, parameters, changed) => {
    const before = { ...silentPeer };
    expect(read(parameters, before)).toEqual({ ...silentPeer, ...changed });
    expect(before).toEqual(silentPeer);
  });

  test('what it does not say stays as it was', () => {
    const before = { maxConcurrentStreams: 5, initialWindowSize: 6, maxFrameSize: 17_000 };
    expect(read([[setting.initialWindowSize, 9]], before)).toEqual({ ...before, initialWindowSize: 9 });
  });

  test('others are told what they asked for, each time and in order', () => {
    const told: number[] = [];
    readSettings(
      payloadOf([
        [1, 5],
        [4, 1],
        [1, 0],
        [1, 2 ** 32 - 1],
      ]),
      silentPeer,
      {
        [setting.headerTableSize]: (bytes) => told.push(bytes),
      },
    );
    expect(told).toEqual([5, 0, 2 ** 32 - 1]);
  });

  test.each<[string, Buffer, number]>([
    ['a size that is no multiple of 6', Buffer.alloc(5), errorCode.frameSizeError],
    ['a parameter that is cut', Buffer.alloc(7), errorCode.frameSizeError],
    ['a window of 2^31', payloadOf([[setting.initialWindowSize, 2 ** 31]]), errorCode.flowControlError],
    ['frames that are too small', payloadOf([[setting.maxFrameSize, 16_383]]), errorCode.protocolError],
    ['frames of no bytes', payloadOf([[setting.maxFrameSize, 0]]), errorCode.protocolError],
    ['frames that are too large', payloadOf([[setting.maxFrameSize, 2 ** 24]]), errorCode.protocolError],
    ['push that is neither on nor off', payloadOf([[setting.enablePush, 2]]), errorCode.protocolError],
    [
      'one that cannot be behind one that can',
      payloadOf([
        [3, 1],
        [setting.maxFrameSize, 1],
      ]),
      errorCode.protocolError,
    ],
    ['too many', payloadOf(Array.from({ length: 65 }, () => [9, 9] as const)), errorCode.enhanceYourCalm],
  ])('is refused: %s', (_, payload, code) => {
    expect(thrownBy(() => readSettings(payload, silentPeer, {}))).toMatchObject({ code });
  });

  test('64 parameters are not too many', () => {
    expect(read(Array.from({ length: 64 }, () => [9, 9] as const))).toEqual(silentPeer);
  });
});

describe('what we say', () => {
  const written = async (own: OwnSettings) => {
    const socket = new PassThrough();
    const output = new Http2Output(socket, { onDrain: () => {}, onFlushed: () => {} });
    writeSettings(output, own);
    await turns(3);
    return (socket.read() as Buffer).toString('hex');
  };
  const sizes = { streamWindowBytes: 0x12345678, maxHeaderBytes: 0xabcdef };
  const common = '000200000000' + '000412345678' + '000600abcdef';

  test('of a client: no push, its windows and its heads', async () => {
    expect(await written({ ...sizes, maxConcurrentStreams: undefined })).toBe(`000012040000000000${common}`);
  });

  test('of a server: how many streams, too', async () => {
    expect(await written({ ...sizes, maxConcurrentStreams: 250 })).toBe(
      `000018040000000000${common}0003000000fa`,
    );
  });

  test('the largest frame is not spoken of: what we take is what holds without agreement', () => {
    expect(silentPeer.maxFrameSize).toBe(defaultMaxFrameBytes);
  });
});
