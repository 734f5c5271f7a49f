import type { DialFailureReason } from './server-metrics.ts';

/** Why no connection came of a dial; the message is for the frontend, in the Go server's words where it has some. */
export class DialFailure extends Error {
  override readonly name = 'DialFailure';
  readonly reason: DialFailureReason;

  constructor(reason: DialFailureReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

export const noAgent = () => new DialFailure('no_agent', 'No agent available');
export const agentLost = () =>
  new DialFailure('backend_close', 'the agent was lost before it answered the dial');
export const dialTimedOut = () =>
  new DialFailure('backend_dial_timeout', 'timed out waiting for backend dial');
export const tooManyDials = () =>
  new DialFailure('no_agent', 'too many dials wait for this agent, try again later');
