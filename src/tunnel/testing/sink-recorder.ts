import type { Lane, LaneSink } from '../lane.ts';

/** Takes the bytes of a lane, and notes what it was told. */
export class SinkRecorder implements LaneSink {
  lane: Lane | undefined;
  readonly events: string[] = [];
  readonly chunks: Buffer[] = [];
  /** What `write` answers. */
  hasRoom = true;
  drains = 0;
  /** Bytes that were written. */
  length = 0;
  onWrite: () => void = () => {};
  onDrained: () => void = () => {};
  onEnd: () => void = () => {};

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get text(): string {
    return this.bytes.toString('latin1');
  }

  write(bytes: Buffer): boolean {
    this.chunks.push(bytes);
    this.length += bytes.length;
    this.onWrite();
    return this.hasRoom;
  }

  ended(error: string): void {
    this.events.push(`ended ${error}`);
    this.onEnd();
  }

  cut(reason: string): void {
    this.events.push(`cut ${reason}`);
    this.onEnd();
  }

  drained(): void {
    this.drains += 1;
    this.onDrained();
  }

  /** Reads again. */
  drain(): void {
    this.hasRoom = true;
    this.lane?.sinkDrained();
  }
}
