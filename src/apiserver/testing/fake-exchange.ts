import { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { HeaderLines } from '../../base/header-lines.ts';
import { ClientConnection } from '../client-connection.ts';
import type { Exchange, NodePair, StreamedBody, UpgradeSide } from '../exchange.ts';

export interface FakeRequest {
  readonly method?: string;
  readonly target?: string;
  readonly headers?: HeaderLines;
  readonly isUpgrade?: boolean;
}

/** A request of a caller without a certificate at 192.0.2.1, and a note of what was answered to it. */
export class FakeExchange implements Exchange {
  readonly protocol = 'HTTP/1.1';
  readonly method: string;
  readonly target: string;
  readonly headers: HeaderLines;
  readonly isUpgrade: boolean;
  readonly body = undefined;
  readonly connection = new ClientConnection(unconnected());
  status: number | undefined;
  answerHeaders: HeaderLines = [];
  answerBody = '';
  aborted = false;
  closesConnection = false;
  readonly #controller = new AbortController();
  readonly #listeners: (() => void)[] = [];
  #onHead: ((status: number) => void) | undefined;
  #ended = false;

  constructor({ method = 'GET', target = '/', headers = [], isUpgrade = false }: FakeRequest = {}) {
    this.method = method;
    this.target = target;
    this.headers = headers;
    this.isUpgrade = isUpgrade;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  inform(): void {}

  respond(status: number, headers: HeaderLines, body: string | Uint8Array = ''): void {
    if (this.#ended) return;
    this.status = status;
    this.#onHead?.(status);
    this.answerHeaders = headers;
    this.answerBody = body.toString();
    this.end();
  }

  /** The head is out; the answer ends with `end`. */
  stream(status: number, headers: HeaderLines, { body }: StreamedBody): void {
    this.status = status;
    this.#onHead?.(status);
    this.answerHeaders = headers;
    body.on('end', () => this.end());
  }

  nodePair(): NodePair {
    throw new Error('there is no socket');
  }

  takeSocket(): UpgradeSide {
    throw new Error('there is no socket');
  }

  cancel(reason: Error): void {
    this.#controller.abort(reason);
  }

  closeConnectionAfter(): void {
    this.closesConnection = true;
  }

  finish(): void {
    this.end();
  }

  abort(): void {
    this.aborted = true;
    this.goAway();
  }

  /** The caller goes away. */
  goAway(): void {
    this.#controller.abort(new Error('the caller went away'));
    this.end();
  }

  onHead(listener: (status: number) => void): void {
    this.#onHead = listener;
  }

  onEnd(listener: () => void): void {
    if (this.#ended) listener();
    else this.#listeners.push(listener);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const listener of this.#listeners) listener();
  }
}

/** A TLS socket that nobody is connected to: it shows an address and no certificate. */
function unconnected(): TLSSocket {
  const socket = new TLSSocket(new Duplex({ read() {}, write() {} }));
  return Object.defineProperty(socket, 'remoteAddress', { value: '192.0.2.1' });
}
