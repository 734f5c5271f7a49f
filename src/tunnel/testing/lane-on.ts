import { Budget } from '../budget.ts';
import { pieceBytes } from '../lane.ts';
import type { Lane, LaneLimits } from '../lane.ts';
import { SharedStream } from '../shared-stream.ts';
import type { StallLimits } from '../shared-stream.ts';
import { FakePacketStream } from './fake-packet-stream.ts';
import { SinkRecorder } from './sink-recorder.ts';

export const limits: LaneLimits = { pauseBytes: 4_000, resumeBytes: 1_000, maxBytes: 10_000 };
const budgetBytes = 1_000_000;

/** A lane on a stream that a test plays the other side of. */
export function laneOn(
  options: { readonly canPause?: boolean; readonly budget?: Budget; readonly stall?: StallLimits } = {},
) {
  const budget = options.budget ?? new Budget(budgetBytes);
  const stream = new FakePacketStream();
  const shared = new SharedStream({
    owner: {
      packet: () => {},
      unknownData: () => {},
      closePacket: (connectId, error) => ({ type: 'CLOSE_RSP', connectId, error }),
      closed: () => {},
    },
    budget,
    limits,
    ...(options.stall && { stall: options.stall }),
  });
  shared.canPause = options.canPause ?? true;
  shared.attach(stream.stream);
  const open = (connectId: number): SinkRecorder & { readonly lane: Lane } => {
    const sink = new SinkRecorder();
    const lane = shared.open(connectId, sink);
    return Object.assign(sink, { lane });
  };
  /** The stream is congested, and again not. */
  const congest = () => {
    stream.room = 0;
    shared.sendData(99, Buffer.alloc(1));
    stream.sent.pop();
  };
  const drain = (room = Infinity) => {
    stream.room = room;
    shared.drained();
  };
  const sink = open(1);
  return { budget, stream, shared, open, congest, drain, sink, lane: sink.lane };
}

export const bytes = (length: number) => Buffer.alloc(length, 'x');
export const text = (content: string) => Buffer.from(content);
/** As much as counts for so many bytes. */
export const piece = (length: number) => bytes(length - pieceBytes);
export const closeRsp = { type: 'CLOSE_RSP', connectId: 1, error: '' } as const;
export const closeReq = { type: 'CLOSE_REQ', connectId: 1 } as const;
