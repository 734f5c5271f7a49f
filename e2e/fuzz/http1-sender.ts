import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

import type { FuzzCase } from './fuzz-case.ts';
import { type Envelope, isUnfinished, requestBytes } from './framing.ts';
import { parseAnswer } from './http1-answer.ts';
import { type Answer, noAnswer } from './observed.ts';

export interface Peer {
  readonly port: number;
  readonly caPem: string;
}

/** How a case was answered, and by how many answers more than one. */
export interface Sent {
  readonly answer: Answer;
  readonly more: number;
  /** The client library would not send it. */
  readonly unsent?: boolean;
}

export interface Sender {
  send(fuzzCase: FuzzCase, envelope: Envelope): Promise<Sent>;
  close(): void;
}

const answerTimeoutMs = 1500;

/** Sends bytes as they are; a connection is used again where neither the request nor its answer was odd. */
export function createHttp1Sender({ port, caPem }: Peer): Sender {
  let kept: TLSSocket | undefined;
  const open = async (): Promise<TLSSocket> => {
    const socket = connect({ host: '127.0.0.1', port, ca: caPem, ALPNProtocols: ['http/1.1'] });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    return socket;
  };
  return {
    async send(fuzzCase, envelope) {
      const socket = kept && !kept.destroyed && kept.writable ? kept : await open();
      kept = undefined;
      const { sent, reusable } = await exchange(socket, fuzzCase, envelope);
      if (reusable && !socket.destroyed) kept = socket;
      else socket.destroy();
      return sent;
    },
    close: () => kept?.destroy(),
  };
}

/** Whether what follows the request on its connection is nobody's but the next one's. */
const isOrderly = ({ framing }: FuzzCase): boolean => framing === 'plain' || framing === 'chunked';

async function exchange(
  socket: TLSSocket,
  fuzzCase: FuzzCase,
  envelope: Envelope,
): Promise<{ sent: Sent; reusable: boolean }> {
  let received = Buffer.alloc(0);
  const answers: Answer[] = [];
  const wanted = fuzzCase.framing === 'pipelined' ? 2 : 1;
  const read = (ended: boolean): void => {
    for (;;) {
      const method = answers.length === 0 ? fuzzCase.method : 'GET';
      const parsed = received.length === 0 ? undefined : parseAnswer(received, method, ended);
      if (!parsed) return;
      answers.push(parsed.answer);
      received = received.subarray(parsed.length);
    }
  };
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, isOrderly(fuzzCase) ? 5_000 : answerTimeoutMs);
    const finish = (): void => {
      clearTimeout(timer);
      resolve();
    };
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      read(false);
      if (answers.length >= wanted) finish();
    });
    socket.once('close', finish).once('end', finish);
    const bytes = requestBytes(fuzzCase, envelope);
    if (isUnfinished(fuzzCase)) socket.end(bytes);
    else socket.write(bytes);
  });
  read(true);
  socket.removeAllListeners('data').removeAllListeners('end').removeAllListeners('close');
  const [answer = noAnswer, ...more] = answers;
  const reusable = isOrderly(fuzzCase) && answers.length === 1 && received.length === 0 && staysOpen(answer);
  return {
    sent: { answer, more: more.length + (received.length > 0 && answers.length > 0 ? 1 : 0) },
    reusable,
  };
}

const staysOpen = ({ headers, status }: Answer): boolean =>
  status !== 400 &&
  !headers.some(([name, value]) => name.toLowerCase() === 'connection' && value === 'close');
