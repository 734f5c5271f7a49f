import type { AgentLink, Dialer, DialTarget } from './agent-link.ts';
import type { AgentTable } from './agent-table.ts';
import { noAgent } from './dial-failure.ts';
import type { DialFailure } from './dial-failure.ts';
import type { TunnelServerMetrics } from './server-metrics.ts';

/** Agents that are asked for one connection when those before are lost while they dial. */
const maxAgents = 3;

/**
 * Asks an agent for a connection; where that agent is lost before its answer, another one
 * (apiserver-network-proxy#126). The result cancels the dial as long as it is not answered.
 */
export function dialThroughAgents(
  parts: { readonly agents: AgentTable; readonly metrics: TunnelServerMetrics },
  target: DialTarget,
  dialer: Dialer,
): () => void {
  const { agents, metrics } = parts;
  const state = { cancelled: false, cancel: () => {} };
  const fail = (failure: DialFailure) => {
    metrics.dialFailed(failure.reason);
    dialer.failed(failure);
  };
  const ask = (tried: number): void => {
    const link: AgentLink | undefined = agents.pick(target.address);
    if (!link) {
      fail(noAgent());
      return;
    }
    state.cancel = link.dial(target, {
      opened: (connectId, open) => dialer.opened(connectId, open),
      failed: (failure) => {
        if (state.cancelled) return;
        if (failure.reason === 'backend_close' && tried + 1 < maxAgents) ask(tried + 1);
        else fail(failure);
      },
    });
  };
  ask(0);
  return () => {
    state.cancelled = true;
    state.cancel();
  };
}
