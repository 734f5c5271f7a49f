/** Why a Secret is no usable cluster; becomes a RejectedCluster, and is seen by nobody else. */
export class Rejection extends Error {
  /** CamelCase, for a condition. */
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** A value of a Secret that is no secret, for a message. */
export const quoted = (text: string) => JSON.stringify(text.slice(0, 200));
