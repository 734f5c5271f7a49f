/**
 * What went wrong below Kubernetes' words. `unreachable`: no connection could be made; `refused`: a peer on the way
 * (proxy, tunnel), or a limit of ours, said no; `untrusted`: the peer's certificate or ours was not accepted; `reset`: an established
 * connection broke; `cancelled`: whoever asked went away.
 */
export type FailureKind =
  'unreachable' | 'refused' | 'timeout' | 'untrusted' | 'reset' | 'cancelled' | 'too-large';

/** The one error that net, tunnel and exec plugins throw. The message is safe to show to a caller; the cause is for logs. */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly kind: FailureKind;
  /** Bytes of the request may have reached the peer: repeating it is not safe unless the method is. */
  readonly sent: boolean;
  /** Said before, and said again without a new try: nothing new for a log. */
  readonly repeated: boolean;

  constructor(
    kind: FailureKind,
    message: string,
    options: { cause?: unknown; sent?: boolean; repeated?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.sent = options.sent ?? false;
    this.repeated = options.repeated ?? false;
  }
}

/** The text of anything thrown, for logs and status reasons. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
