import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Packet } from '../packet.ts';

/** `timeout` and `unknown` are the Go agent's; `refused` is said by this agent, without a dial. */
export type EndpointDialFailure = 'timeout' | 'unknown' | 'refused';

export interface AgentGauges {
  readonly openServers: () => number;
  readonly knownServers: () => number;
  readonly openEndpoints: () => number;
  readonly heldBytes: () => number;
}

export interface AgentMetrics {
  /** Tells where the present figures are found; they are read at each scrape. */
  watch(gauges: AgentGauges): void;
  dialed(seconds: number): void;
  dialFailed(reason: EndpointDialFailure): void;
  readonly packet: (type: Packet['type'], direction: 'in' | 'out') => void;
  /** A server's stream broke, with this gRPC code. */
  streamBroke(code: number): void;
  /** A connection was cut because its destination did not read. */
  slowDestinationCut(): void;
}

const prefix = 'konnectivity_network_proxy_agent_';

/** As Go prints them. */
const codeNames =
  'OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable DataLoss Unauthenticated'.split(
    ' ',
  );

/** Metrics under the names of the Go agent (konnectivity), so that its dashboards and alerts go on working. */
export function createAgentMetrics(registry: Registry): AgentMetrics {
  const registers = [registry];
  const packets = createPacketCounter(registry);
  const dialSeconds = new Histogram({
    name: `${prefix}dial_duration_seconds`,
    help: 'How long connecting to destinations took.',
    buckets: [0.005, 0.025, 0.1, 0.5, 2.5, 10, 30],
    registers,
  });
  const dialFailures = new Counter({
    name: `${prefix}endpoint_dial_failure_total`,
    // The text belongs to the interface: the Go project's tests compare it.
    help: 'Number of failures dialing the remote endpoint, by reason (example: timeout).',
    labelNames: ['reason'],
    registers,
  });
  const serverFailures = new Counter({
    name: `${prefix}server_connection_failure_count`,
    help: 'Streams to servers that broke. Of the Go agent, which prefers stream_errors_total.',
    labelNames: ['direction'],
    registers,
  });
  const streamErrors = new Counter({
    name: `${prefix}stream_errors_total`,
    help: 'Streams to servers that broke, by segment and gRPC code.',
    labelNames: ['segment', 'code', 'packet_type'],
    registers,
  });
  const cuts = new Counter({
    name: `${prefix}slow_destination_cuts_total`,
    help: 'Connections that were cut because their destination did not read.',
    registers,
  });
  return {
    watch: (gauges) => registerGauges(registry, gauges),
    dialed: (seconds) => dialSeconds.observe(seconds),
    dialFailed: (reason) => dialFailures.inc({ reason }),
    packet: packets,
    streamBroke: (code) => {
      serverFailures.inc({ direction: 'from_server' });
      const name = codeNames[code] ?? `Code(${code})`;
      streamErrors.inc({ segment: 'to_agent', code: name, packet_type: 'Unknown' });
    },
    slowDestinationCut: () => cuts.inc(),
  };
}

/** A packet is counted by an addition; the registry hears of it at the scrape. */
function createPacketCounter(registry: Registry): AgentMetrics['packet'] {
  const counts = { in: new Map<string, number>(), out: new Map<string, number>() };
  new Counter({
    name: `${prefix}stream_packets_total`,
    help: 'Packets, by segment and type.',
    labelNames: ['segment', 'packet_type'],
    registers: [registry],
    collect() {
      for (const [segment, types] of [
        ['to_agent', counts.in] as const,
        ['from_agent', counts.out] as const,
      ]) {
        for (const [packet_type, count] of types) this.inc({ segment, packet_type }, count);
        types.clear();
      }
    },
  });
  return (type, direction) => {
    const types = counts[direction];
    types.set(type, (types.get(type) ?? 0) + 1);
  };
}

function registerGauges(registry: Registry, gauges: AgentGauges): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      ...{ name: prefix + name, help, registers: [registry] },
      collect() {
        this.set(read());
      },
    });
  gauge('open_server_connections', 'Servers that this agent is connected to.', gauges.openServers);
  gauge('known_server_count', 'Servers that there are, as they say.', gauges.knownServers);
  // The text belongs to the interface: the Go project's tests compare it.
  gauge('open_endpoint_connections', 'Current number of open endpoint connections.', gauges.openEndpoints);
  gauge('held_bytes', 'Bytes that wait for destinations.', gauges.heldBytes);
}
