/** Where the target listens, on 127.0.0.1. */
export interface TargetPorts {
  readonly port: number;
  /** Sends back what it gets, without TLS. */
  readonly echoPort: number;
  /** Why it does not listen on port 443 as well; null where it does. */
  readonly standardPortTrouble: string | null;
}
