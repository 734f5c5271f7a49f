import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Packet } from '../packet.ts';

/** Why a dial failed, as the Go server's metric names it. */
export type DialFailureReason =
  | 'no_agent'
  | 'error_response'
  | 'unrecognized_response'
  | 'send_rsp'
  | 'backend_close'
  | 'backend_dial_timeout'
  | 'frontend_close';

export type Segment = 'from_client' | 'to_client' | 'from_agent' | 'to_agent';

export interface TunnelServerGauges {
  /** Streams of frontends, and of agents. */
  readonly grpcConnections: () => { readonly proxy: number; readonly connect: number };
  readonly httpConnections: () => number;
  readonly pendingDials: () => number;
  readonly establishedConnections: () => number;
  /** Agents by the strategy that finds them. */
  readonly readyAgents: () => ReadonlyMap<string, number>;
  readonly heldBytes: () => number;
}

export interface TunnelServerMetrics {
  /** Tells where the present figures are found; they are read at each scrape. */
  watch(gauges: TunnelServerGauges): void;
  dialed(seconds: number): void;
  dialFailed(reason: DialFailureReason): void;
  connectionEnded(seconds: number): void;
  packet(segment: Segment, type: Packet['type']): void;
  streamError(segment: Segment, code: string): void;
  /** A connection was cut because its reader was too slow. */
  slowReaderCut(): void;
}

const prefix = 'konnectivity_network_proxy_server_';

/** Metrics under the names of the Go server (konnectivity), so that its dashboards and alerts go on working. */
export function createTunnelServerMetrics(registry: Registry): TunnelServerMetrics {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: prefix + name, help, labelNames, registers });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name: prefix + name, help, buckets, registers });
  const dialSeconds = histogram(
    'dial_duration_seconds',
    'From the request for a connection to its answer.',
    [0.005, 0.025, 0.1, 0.5, 2.5, 10],
  );
  const connectionSeconds = histogram(
    'connection_duration_seconds',
    'How long connections lasted.',
    [0.1, 1, 10, 60, 600, 3600, 36_000],
  );
  const failures = counter('dial_failure_count', 'Dials that failed, by reason.', ['reason']);
  const packets = counter('stream_packets_total', 'Packets, by segment and type.', [
    'segment',
    'packet_type',
  ]);
  const errors = counter('stream_errors_total', 'Streams that broke, by segment and gRPC code.', [
    ...['segment', 'code', 'packet_type'],
  ]);
  const cuts = counter('slow_reader_cuts_total', 'Connections that were cut because nobody read them.');
  // A packet is counted by an addition; the registry hears of it at the scrape.
  const counted = new Map<Segment, Map<string, number>>();
  const tell = packets as Counter<'segment' | 'packet_type'> & { collect?: () => void };
  tell.collect = () => {
    for (const [segment, types] of counted) {
      for (const [type, count] of types) packets.inc({ segment, packet_type: type }, count);
      types.clear();
    }
  };
  return {
    watch: (gauges) => registerGauges(registry, gauges),
    dialed: (seconds) => dialSeconds.observe(seconds),
    dialFailed: (reason) => failures.inc({ reason }),
    connectionEnded: (seconds) => connectionSeconds.observe(seconds),
    packet: (segment, type) => {
      let types = counted.get(segment);
      if (!types) counted.set(segment, (types = new Map<string, number>()));
      types.set(type, (types.get(type) ?? 0) + 1);
    },
    streamError: (segment, code) => errors.inc({ segment, code, packet_type: 'unknown' }),
    slowReaderCut: () => cuts.inc(),
  };
}

function registerGauges(registry: Registry, gauges: TunnelServerGauges): void {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      ...{ name: prefix + name, help, registers },
      collect() {
        this.set(read());
      },
    });
  new Gauge({
    ...{ name: `${prefix}grpc_connections`, help: 'Open streams, by method.', registers },
    labelNames: ['service_method'],
    collect() {
      const { proxy, connect } = gauges.grpcConnections();
      this.set({ service_method: 'Proxy' }, proxy);
      this.set({ service_method: 'Connect' }, connect);
    },
  });
  new Gauge({
    ...{ name: `${prefix}ready_backends`, help: 'Agents, by the strategy that finds them.', registers },
    labelNames: ['proxy_strategy'],
    collect() {
      for (const [proxy_strategy, count] of gauges.readyAgents()) this.set({ proxy_strategy }, count);
    },
  });
  gauge('http_connections', 'Open connections of http-connect frontends.', gauges.httpConnections);
  gauge('pending_backend_dials', 'Dials that agents have not answered.', gauges.pendingDials);
  gauge('established_connections', 'Open connections through agents.', gauges.establishedConnections);
  gauge('held_bytes', 'Bytes that wait for readers.', gauges.heldBytes);
}
