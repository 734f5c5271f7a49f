import { describe, expect, test } from 'vitest';
import { GrpcStatus, grpcCode, readStatus, statusLines, statusOfReset } from './grpc-status.ts';

const linesOf = (message: string) => statusLines(new GrpcStatus(grpcCode.unknown, message));

describe('the lines that end a call', () => {
  test.each([
    ['expected one agent ID in the context, got []', 'expected one agent ID in the context, got []'],
    ['100% of "it"~', '100%25 of "it"~'],
    ['a\nb\tc\u0000', 'a%0Ab%09c%00'],
    ['Zürich ☃', 'Z%C3%BCrich %E2%98%83'],
    ['\u007f', '%7F'],
    [' ends ', '%20ends%20'],
    [' ', '%20'],
    ['  ', '%20%20'],
  ])('%j', (message, encoded) => {
    expect(linesOf(message)).toEqual(['grpc-status', '2', 'grpc-message', encoded]);
    const status = readStatus(linesOf(message));
    expect([status?.code, status?.message]).toEqual([2, message]);
  });

  test('without a message there is no line for it', () => {
    expect(statusLines(new GrpcStatus(grpcCode.ok, ''))).toEqual(['grpc-status', '0']);
    expect(readStatus(['grpc-status', '0'])?.isOk).toBe(true);
    expect(readStatus(['grpc-status', '14'])?.isOk).toBe(false);
  });
});

describe('lines of others', () => {
  test.each<[readonly string[], readonly [number, string] | undefined]>([
    [[], undefined],
    [['grpc-message', 'alone'], undefined],
    [['x-other', 'grpc-status', '7', 'x'], undefined],
    [
      ['grpc-message', 'before', 'x-other', '1', 'grpc-status', '5'],
      [5, 'before'],
    ],
    [
      ['grpc-status', ''],
      [2, ''],
    ],
    [
      ['grpc-status', 'OK'],
      [2, ''],
    ],
    [
      ['grpc-status', '1000'],
      [2, ''],
    ],
    [
      ['grpc-status', '2', 'grpc-message', '100% or %4 or %zz or %C3%A4'],
      [2, '100% or %4 or %zz or ä'],
    ],
    [
      ['grpc-status', '2', 'grpc-message', 'Z\u00c3\u00bcrich'],
      [2, 'Zürich'],
    ],
    [
      ['grpc-status', '2', 'grpc-message', '%ff'],
      [2, '\ufffd'],
    ],
  ])('%j', (lines, expected) => {
    const status = readStatus(lines);
    expect(status && [status.code, status.message]).toEqual(expected);
  });
});

test('what stands for codes of RST_STREAM', () => {
  const codes = Array.from({ length: 15 }, (_, code) => statusOfReset(code).code);
  expect(codes).toEqual([13, 13, 13, 13, 13, 13, 13, 14, 1, 13, 13, 8, 7, 13, 13]);
  expect(statusOfReset(2).message).toContain('2');
});
