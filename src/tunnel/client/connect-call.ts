import type { Duplex } from 'node:stream';
import { Failure } from '../../base/failure.ts';
import { connectionFailure } from '../../net/node-errors.ts';
import { readReply } from '../../net/reply-reader.ts';
import { outcomeOfError } from './dial-outcome.ts';
import type { DialOutcome, DialRequest } from './dial-outcome.ts';
import { peerText } from '../peer-text.ts';

const maxHeadBytes = 16_384;
/** Of the text that says why not. */
const maxBodyBytes = 4096;
const bodyTimeoutMs = 1_000;

/**
 * Asks a tunnel server in mode http-connect for a connection (ANP pkg/server/tunnel.go). Not `createConnectDial`: what the
 * agent says stands in the answer's body. Never rejects; a socket that is not the connection is destroyed.
 */
export async function askByConnect(
  socket: Duplex,
  { target, signal }: DialRequest,
  server: string,
): Promise<DialOutcome> {
  socket.on('error', () => undefined);
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  let head: Buffer;
  try {
    // The signal is the one limit in time: the answer waits for the agent's dial.
    head = await readReply(socket, headEnd, {
      ...{ signal, timeoutMs: 2 ** 31 - 1, maxBytes: maxHeadBytes, name: `tunnel server ${server}` },
    });
  } catch (error) {
    const failure = connectionFailure(error, false);
    if (signal.aborted)
      return { type: 'failed', failure, reason: failure.kind === 'timeout' ? 'timeout' : 'context' };
    return { type: 'lost', failure: new Failure('unreachable', failure.message), reason: 'tunnelclosed' };
  }
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head.toString('latin1'))?.[1] ?? 0);
  if (status >= 200 && status < 300) return { type: 'open', socket };
  const length = /\r\ncontent-length:[ \t]*(\d+)/i.exec(head.toString('latin1'))?.[1];
  const body = await readBody(socket, Math.min(maxBodyBytes, Number(length ?? maxBodyBytes)));
  socket.destroy();
  if (status >= 500) return outcomeOfError(body === '' ? statusText(status) : body, target);
  const words = status === 0 ? 'malformed HTTP response' : `${status} ${body}`.trim();
  const failure = new Failure('refused', `tunnel server ${server}: ${peerText(words)}`);
  return { type: 'unusable', failure, reason: 'streamsetup' };
}

const statusText = (status: number) => (status === 504 ? '504 Gateway timeout' : `status ${status}`);

function headEnd(received: Buffer): number | undefined {
  const at = received.indexOf('\r\n\r\n');
  return at < 0 ? undefined : at + 4;
}

/** What is there of the body within a second: many servers end the connection behind it, and say no length. */
function readBody(socket: Duplex, mostBytes: number): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const done = () => {
      clearTimeout(timer);
      socket.off('data', onData).off('end', done).off('close', done);
      resolve(Buffer.concat(chunks).subarray(0, mostBytes).toString('utf8').trim());
    };
    const onData = (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= mostBytes) done();
    };
    const timer = setTimeout(done, bodyTimeoutMs);
    socket.on('data', onData).on('end', done).on('close', done);
  });
}
