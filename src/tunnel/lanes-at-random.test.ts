import { describe, expect, test } from 'vitest';
import { seededRandom } from '../http2/testing/hpack-random.ts';
import { Budget } from './budget.ts';
import { GrpcStatus, grpcCode } from './grpc-status.ts';
import type { Lane, LaneLimits, LaneSink } from './lane.ts';
import { SharedStream } from './shared-stream.ts';
import { FakePacketStream } from './testing/fake-packet-stream.ts';

const limits: LaneLimits = { pauseBytes: 3_000, resumeBytes: 800, maxBytes: 8_000 };
const budgetBytes = 20_000;
const numbers = 6;

/** A connection, and what must be true of it. */
class Connection implements LaneSink {
  readonly connectId: number;
  /** Where in what was sent on the stream it began. */
  readonly since: number;
  lane: Lane | undefined;
  came = '';
  written = '';
  sent = '';
  peerClosed = false;
  closedByUs = false;
  readonly ends: string[] = [];
  readonly faults: string[] = [];
  readonly #world: World;

  constructor(connectId: number, world: World) {
    this.connectId = connectId;
    this.#world = world;
    this.since = world.stream.sent.length;
  }

  get isOver(): boolean {
    return this.ends.length > 0 || this.closedByUs;
  }

  write(bytes: Buffer): boolean {
    this.#expectOpen('write');
    this.written += bytes.toString('latin1');
    if (!this.came.startsWith(this.written)) this.faults.push('bytes out of order');
    this.#world.act(this, 0.05);
    return this.#world.random() < 0.6;
  }

  ended(): void {
    this.#expectOpen('ended');
    if (this.written !== this.came) this.faults.push('ended before everything was written');
    this.ends.push('ended');
    this.#world.act(this, 0.3);
  }

  cut(): void {
    this.#expectOpen('cut');
    this.ends.push('cut');
    this.#world.act(this, 0.3);
  }

  drained(): void {
    this.#expectOpen('drained');
    this.#world.act(this, 0.5);
  }

  #expectOpen(what: string): void {
    if (this.isOver) this.faults.push(`${what} after the end`);
  }
}

/** Operations in any order, and checks behind each. */
class World {
  readonly random: () => number;
  readonly budget = new Budget(budgetBytes);
  readonly stream = new FakePacketStream();
  readonly all: Connection[] = [];
  readonly current = new Map<number, Connection>();
  readonly shared: SharedStream;
  #next = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.shared = new SharedStream({
      owner: {
        packet: () => {},
        unknownData: () => {},
        closePacket: (connectId, error) => ({ type: 'CLOSE_RSP', connectId, error }),
        closed: () => {},
      },
      budget: this.budget,
      limits,
    });
    this.shared.canPause = this.random() < 0.7;
    this.shared.attach(this.stream.stream);
  }

  below(count: number): number {
    return Math.floor(this.random() * count);
  }

  open(connectId: number): void {
    const connection = new Connection(connectId, this);
    connection.lane = this.shared.open(connectId, connection);
    this.all.push(connection);
    this.current.set(connectId, connection);
  }

  /** Something that a sink may do whenever it is called. */
  act(connection: Connection, chance: number): void {
    if (this.random() >= chance) return;
    const other = this.random() < 0.3 ? this.current.get(1 + this.below(numbers)) : undefined;
    const acting = other ?? connection;
    const kind = this.below(5);
    if (kind === 0) this.#close(acting);
    else if (kind === 1) this.#cut(acting);
    else if (kind === 2) acting.lane?.sinkDrained();
    else this.#send(acting);
  }

  step(): void {
    const connectId = 1 + this.below(numbers);
    const connection = this.current.get(connectId);
    const kind = this.below(100);
    if (!connection || kind < 3) this.open(connectId);
    else if (kind < 45) this.#receive(connection);
    else if (kind < 60) connection.lane?.sinkDrained();
    else if (kind < 72) this.#send(connection);
    else if (kind < 75) this.#closeByPeer(connection);
    else if (kind < 77) this.#close(connection);
    else if (kind < 78) this.#cut(connection);
    else if (kind < 84) this.shared.packet({ type: 'PAUSE', connectId });
    else if (kind < 92) this.shared.packet({ type: 'RESUME', connectId });
    else if (kind < 96) this.stream.room = this.below(3);
    else {
      this.stream.room = this.below(20);
      this.shared.drained();
    }
    this.check();
  }

  check(): void {
    // Those that are over hold nothing, which is seen at the end.
    let held = 0;
    for (const { lane, faults } of this.current.values()) {
      const heldBytes = lane?.heldBytes ?? 0;
      held += heldBytes;
      if (faults.length > 0 || heldBytes > limits.maxBytes)
        throw new Error(`${heldBytes} bytes; ${faults.join()}`);
    }
    if (this.budget.heldBytes !== held || held > budgetBytes)
      throw new Error(`${held} bytes are held, and ${this.budget.heldBytes} were charged`);
  }

  /** The peer reads all that is sent. */
  settle(): void {
    for (let connectId = 1; connectId <= numbers; connectId += 1)
      this.shared.packet({ type: 'RESUME', connectId });
    this.stream.room = Infinity;
    this.shared.drained();
  }

  /** What the peer got of each connection is what was sent, in order, and at most one close behind it. */
  checkSent({ isWhole = false } = {}): void {
    for (const [i, connection] of this.all.entries()) {
      const { connectId, since, sent, faults } = connection;
      const next = this.all.slice(i + 1).find((other) => other.connectId === connectId);
      const packets = this.stream.sent
        .slice(since, next?.since)
        .filter((packet) => 'connectId' in packet && packet.connectId === connectId);
      const bytes = packets
        .map((packet) => (packet.type === 'DATA' ? packet.data.toString('latin1') : ''))
        .join('');
      expect(sent.startsWith(bytes)).toBe(true);
      const isOpen = !connection.isOver && !connection.peerClosed;
      if (isWhole && isOpen) expect(bytes).toBe(sent);
      if (isWhole && !isOpen) expect(connection.lane?.isOver).toBe(true);
      const closes = packets.filter(({ type }) => type.startsWith('CLOSE'));
      expect(closes.length).toBeLessThanOrEqual(1);
      if (closes[0]) expect(packets.at(-1)).toBe(closes[0]);
      const pauses = packets.filter(({ type }) => type === 'PAUSE' || type === 'RESUME');
      expect(pauses.every(({ type }, at) => type === (at % 2 === 0 ? 'PAUSE' : 'RESUME'))).toBe(true);
      if (!this.shared.canPause) expect(pauses).toEqual([]);
      expect(faults).toEqual([]);
    }
  }

  #text(): string {
    const length = this.random() < 0.5 ? 1 + this.below(10) : this.below(900);
    return Array.from({ length }, () => String.fromCharCode(97 + (this.#next = (this.#next + 1) % 26))).join(
      '',
    );
  }

  #receive(connection: Connection): void {
    const text = this.#text();
    // What comes behind the end is for nobody.
    if (!connection.peerClosed && !connection.isOver) connection.came += text;
    this.shared.data(connection.connectId, Buffer.from(text, 'latin1'), true);
  }

  #closeByPeer(connection: Connection): void {
    connection.peerClosed = true;
    const { connectId } = connection;
    this.shared.packet(
      this.random() < 0.5 ? { type: 'CLOSE_REQ', connectId } : { type: 'CLOSE_RSP', connectId, error: '' },
    );
  }

  #close(connection: Connection): void {
    const { connectId, lane } = connection;
    if (connection.ends.length === 0) connection.closedByUs = true;
    lane?.close(
      this.random() < 0.5 ? { type: 'CLOSE_REQ', connectId } : { type: 'CLOSE_RSP', connectId, error: '' },
    );
  }

  #cut(connection: Connection): void {
    connection.lane?.cut('over', { tellPeer: this.random() < 0.5 });
  }

  #send(connection: Connection): void {
    const text = this.#text();
    const { lane } = connection;
    if (!connection.isOver && !connection.peerClosed) connection.sent += text;
    lane?.send(Buffer.from(text, 'latin1'));
  }
}

describe('whatever happens in whatever order', () => {
  test.each(Array.from({ length: 60 }, (_, i) => i + 1))('seed %i', (seed) => {
    const world = new World(seed);
    for (let i = 0; i < 1_500; i += 1) world.step();
    world.checkSent();
    // All that is open reads to its end; then the stream is over.
    for (const { lane } of world.all) for (let i = 0; i < 200; i += 1) lane?.sinkDrained();
    world.settle();
    world.checkSent({ isWhole: true });
    world.stream.isClosed = true;
    world.shared.closed(new GrpcStatus(grpcCode.unavailable, 'lost'));
    world.check();
    world.checkSent();
    expect([world.budget.heldBytes, world.shared.size]).toEqual([0, 0]);
    for (const connection of world.all) {
      expect([connection.lane?.isOver, connection.lane?.heldBytes]).toEqual([true, 0]);
      expect(connection.ends.length).toBe(connection.closedByUs ? 0 : 1);
    }
  });
});
