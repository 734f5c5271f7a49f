import type { Readable } from 'node:stream';
import type { Admitted } from '../apiserver/admission.ts';

/**
 * How long a carried request may last. `silent`: until the head of the answer, and then for ever as long as bytes come
 * often enough, so that neither a large upload nor a large list is cut while it moves; `head`: until the head of the
 * answer, as watches and upgrades, which may then say nothing for hours; `none`: not even its head need ever come, as
 * with the followed log of a container that writes nothing, or a service that answers when something happens.
 */
export type CarriedBound = 'silent' | 'head' | 'none';

/** The deadline of a request on its way: whoever carries it tells how it goes on. */
export class CarriedDeadline {
  readonly #deadline: Admitted['deadline'];
  readonly #bound: CarriedBound;

  constructor(deadline: Admitted['deadline'], bound: CarriedBound) {
    this.#deadline = deadline;
    this.#bound = bound;
    if (bound === 'none') deadline.lift();
  }

  /** A piece of the request's body was sent on. */
  readonly onBodyProgress = (): void => this.#deadline.restart();

  /** The head of the answer is out, and `body` is being read by whoever sends it on. */
  answered(body: Readable): void {
    if (this.#bound === 'silent') this.ending(body);
    else this.#deadline.lift();
  }

  /** The same for an answer that comes to an end, whatever was asked: an upgrade that was refused. */
  ending(body: Readable): void {
    this.#deadline.restart();
    body.on('data', () => this.#deadline.restart());
  }

  /** Two sockets were joined. */
  upgraded(): void {
    this.#deadline.lift();
  }
}
