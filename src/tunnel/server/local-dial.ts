import { Duplex } from 'node:stream';
import { Failure } from '../../base/failure.ts';
import { wayEnds } from '../../net/dial.ts';
import type { Dial } from '../../net/dial.ts';
import { abortFailure, hostPort } from '../../net/node-errors.ts';
import type { Lane, LaneSink } from '../lane.ts';
import { peerText } from '../peer-text.ts';
import type { AgentTable } from './agent-table.ts';
import type { DialFailure } from './dial-failure.ts';
import { dialThroughAgents } from './dialer.ts';
import type { TunnelServerMetrics } from './server-metrics.ts';

/** Dials through the agents of a tunnel server in this process: no frontend, no stream, no second TLS in between. */
export function createLocalDial(agents: AgentTable, metrics: TunnelServerMetrics): Dial {
  return (address, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(abortFailure(signal));
        return;
      }
      const onAbort = () => {
        cancel();
        metrics.dialFailed('frontend_close');
        reject(abortFailure(signal));
      };
      const settle = () => signal.removeEventListener('abort', onAbort);
      signal.addEventListener('abort', onAbort);
      const target = { protocol: 'tcp', address: hostPort(address) };
      const cancel = dialThroughAgents({ agents, metrics }, target, {
        opened: (_, open) => {
          settle();
          resolve(new LaneSocket(open, metrics));
        },
        failed: (failure) => {
          settle();
          reject(failureOf(failure, target.address));
        },
      });
    });
}

function failureOf({ reason, message }: DialFailure, target: string): Failure {
  const isTimeout = reason === 'backend_dial_timeout' || /timeout|deadline exceeded/.test(message);
  const text =
    reason === 'error_response' ? peerText(message) : `dial ${target} through the tunnel: ${message}`;
  return new Failure(isTimeout ? 'timeout' : 'unreachable', text);
}

type Done = (error?: Error | null) => void;

/** A connection through an agent, for whoever dialled it in this process, and destroys it in the end. */
class LaneSocket extends Duplex {
  readonly #lane: Lane;
  readonly #metrics: TunnelServerMetrics;
  readonly #openedAt = performance.now();
  #onWritten: Done | undefined;
  #flowing = true;

  constructor(open: (sink: LaneSink) => Lane, metrics: TunnelServerMetrics) {
    super({
      // TLS over it still writes its last words when the peer has gone, and loses what it has not given to its reader when
      // this closes: both ends are its owner's to make, as with `TunnelSocket`.
      ...{ allowHalfOpen: true, autoDestroy: false },
      ...{ readableHighWaterMark: 64 * 1024, writableHighWaterMark: 64 * 1024 },
    });
    this.#metrics = metrics;
    this.#lane = open({
      write: (bytes) => (this.#flowing = this.push(bytes)),
      ended: (error) => {
        if (error === '') this.push(null);
        else
          this.destroy(
            new Failure('reset', `the agent closed the connection: ${peerText(error)}`, { sent: true }),
          );
      },
      cut: (reason) => void this.destroy(new Failure('reset', reason, { sent: true })),
      drained: () => {
        const written = this.#onWritten;
        this.#onWritten = undefined;
        written?.();
      },
      wayEnds: () => this.emit(wayEnds),
    });
  }

  override _read(): void {
    if (this.#flowing) return;
    this.#flowing = true;
    this.#lane.sinkDrained();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    if (this.#lane.send(chunk)) done();
    else this.#onWritten = done;
  }

  override _final(done: Done): void {
    this.#close();
    // The protocol knows no half-closed connections.
    this.push(null);
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#close();
    this.#metrics.connectionEnded((performance.now() - this.#openedAt) / 1000);
    const written = this.#onWritten;
    this.#onWritten = undefined;
    written?.(error ?? new Failure('cancelled', 'the connection was closed'));
    done(error);
  }

  #close(): void {
    this.#lane.close({ type: 'CLOSE_REQ', connectId: this.#lane.connectId });
  }
}
