import { allHeaders, firstHeader } from '../../base/header-lines.ts';
import type { Log } from '../../base/log.ts';
import { errorText } from '../../base/failure.ts';
import {
  agentIdHeader,
  agentIdentifiersHeader,
  parseIdentifiers,
  serverCountHeader,
  serverIdHeader,
} from '../agent-identifiers.ts';
import type { Budget } from '../budget.ts';
import { GrpcStatus, grpcCode } from '../grpc-status.ts';
import { PacketStream } from '../packet-stream.ts';
import { pauseHeader } from '../shared-stream.ts';
import { AgentLink } from './agent-link.ts';
import type { AgentTable } from './agent-table.ts';
import type { GrpcCall } from './grpc-server-connection.ts';
import { identifierProblem } from './identifier-rule.ts';
import type { IdentifierRule } from './identifier-rule.ts';
import { UnansweredCall } from './unanswered-call.ts';
import type { TunnelServerMetrics } from './server-metrics.ts';

export interface AgentCallsOptions {
  readonly serverId: string;
  readonly serverCount: () => number;
  /**
   * Judges the `authorization` line of an agent; throws what it has against it. Undefined: agents are known by their
   * certificates, or not at all.
   */
  readonly authenticateAgent?:
    ((authorization: string | undefined, signal: AbortSignal) => Promise<void>) | undefined;
  readonly identifierRule: IdentifierRule;
  readonly agents: AgentTable;
  readonly budget: Budget;
  readonly maxPendingDials: number;
  readonly dialTimeoutMs: number;
  readonly metrics: TunnelServerMetrics;
  readonly log: Log;
}

/** How long a TokenReview may take. */
const authenticationTimeoutMs = 10_000;

/** Takes the calls of agents (`AgentService/Connect`): who is let in stands in the table until its stream ends. */
export class AgentCalls {
  readonly #options: AgentCallsOptions;
  readonly #links = new Set<AgentLink>();

  constructor(options: AgentCallsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#links.size;
  }

  links(): Iterable<AgentLink> {
    return this.#links;
  }

  /** Agents connect to another server, and serve what is open here until it ends. */
  serverStops(): void {
    for (const link of this.#links) link.serverStops();
  }

  take(call: GrpcCall): void {
    const { authenticateAgent } = this.#options;
    if (!authenticateAgent) {
      this.#begin(call);
      return;
    }
    const waiting = new UnansweredCall(call.stream);
    const signal = AbortSignal.timeout(authenticationTimeoutMs);
    authenticateAgent(firstHeader(call.lines, 'authorization'), signal).then(
      () => {
        if (!call.stream.closed) this.#begin(call);
      },
      (error: unknown) => {
        this.#options.log.warn(
          { reason: errorText(error), peer: call.peer.remoteAddress },
          'an agent was refused',
        );
        // As the Go server answers: code Unknown, with what was wrong.
        waiting.finish(
          error instanceof GrpcStatus ? error : new GrpcStatus(grpcCode.unknown, errorText(error)),
        );
      },
    );
  }

  #begin(call: GrpcCall): void {
    const { lines, stream, peer, finishConnection } = call;
    const { log, metrics, identifierRule } = this.#options;
    const ids = allHeaders(lines, agentIdHeader);
    const identifiers = parseIdentifiers(firstHeader(lines, agentIdentifiersHeader) ?? '');
    const [agentId] = ids;
    const problem =
      ids.length !== 1 || !agentId
        ? `expected one agent ID in the context, got [${ids.join(' ')}]`
        : identifierProblem(identifierRule, identifiers, peer.certificate);
    if (problem !== undefined || !agentId) {
      log.warn({ reason: problem, peer: peer.remoteAddress }, 'an agent was refused');
      new UnansweredCall(stream).finish(new GrpcStatus(grpcCode.unknown, problem ?? ''));
      return;
    }
    const link = new AgentLink({
      ...this.#options,
      ...{ agentId, identifiers, canPause: firstHeader(lines, pauseHeader) !== undefined },
      finishConnection,
      onDrain: () => log.info({ agent: agentId }, 'an agent drains'),
      onClosed: (closed, status) => this.#onClosed(closed, status),
    });
    const packets = new PacketStream(stream, {
      ...{ isServer: true, holdsCredit: true, listener: link.listener },
      onPacket: (type, direction) => metrics.packet(direction === 'in' ? 'from_agent' : 'to_agent', type),
    });
    link.attach(packets);
    this.#links.add(link);
    this.#options.agents.add(link);
    log.info({ agent: agentId, peer: peer.remoteAddress }, 'an agent is connected');
    packets.sendHead([
      ...[serverIdHeader, this.#options.serverId, serverCountHeader, String(this.#options.serverCount())],
      ...[pauseHeader, '1'],
    ]);
  }

  #onClosed(link: AgentLink, status: GrpcStatus): void {
    const { agents, log, metrics } = this.#options;
    agents.delete(link);
    this.#links.delete(link);
    if (!status.isOk) metrics.streamError('from_agent', String(status.code));
    log.info({ agent: link.agentId, reason: status.message }, 'an agent is gone');
    link.finish(new GrpcStatus(grpcCode.ok, ''));
  }
}
