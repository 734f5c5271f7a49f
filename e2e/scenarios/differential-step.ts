/** One kubectl command of a sequence. In all texts `{ns}` is the namespace of the side that it runs on. */
export interface Step {
  /** As in a shell; single quotes keep spaces together. */
  readonly command: string;
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** With the limited credential instead of the administrator's. */
  readonly limited?: boolean;
  /** It never ends by itself: it is killed after this time. */
  readonly killAfterMs?: number;
  /** Repeated until it succeeds: it waits for what the cluster does in its own time. Only that it does is compared. */
  readonly untilItSucceeds?: boolean;
  /** It asks again and again: how often is not compared. */
  readonly polls?: boolean;
}

/** Commands that run one after the other, first all of them at the cluster, then all through the gateway. */
export interface Sequence {
  readonly name: string;
  readonly steps: readonly (string | Step)[];
}

/** The command's arguments. */
export function splitCommand(command: string): string[] {
  const words = command.matchAll(/(?:'[^']*'|[^\s'])+/g);
  return [...words].map(([word]) => word.replaceAll("'", ''));
}
