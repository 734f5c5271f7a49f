import type { IncomingMessage } from 'node:http';

/** Longest that the rest of a body is read, and again that the caller has to take the answer, in milliseconds. */
const lingerMs = 500;

/** What is read of it, in bytes: as much as Go's server reads. */
const discardedBytes = 256 * 1024;

/**
 * Whether the connection can take no other request after an answer that goes out now: more of the body may still come
 * than {@link discardRest} would read. The answer must say so, or the caller's next request would meet the end.
 */
export function isTooLongToDiscard({ complete, headers }: IncomingMessage): boolean {
  if (complete) return false;
  return (
    headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > discardedBytes
  );
}

/**
 * For an answer that is written before the end of the request's body was read: reads a small rest away, so that the
 * connection can be used again, and ends the connection when the rest is not small. A socket that is closed while bytes
 * arrive answers them with a reset, which takes the answer from a caller who has not read it yet: so this side alone
 * ends first, and what still comes is thrown away (RFC 9112 9.6).
 */
export function discardRest(request: IncomingMessage): void {
  const { socket } = request;
  let left = discardedBytes;
  let timer = setTimeout(end, lingerMs);
  let ended = false;
  // Node calls it behind an answer that says `Connection: close`.
  socket.destroySoon = end;
  request.on('data', (chunk: Buffer) => {
    if (!ended && (left -= chunk.length) < 0) end();
  });
  request.once('end', () => {
    // Its last bytes have come: nothing is reset any more.
    Reflect.deleteProperty(socket, 'destroySoon');
    clearTimeout(timer);
    if (ended) socket.destroySoon();
  });
  socket.once('close', () => clearTimeout(timer));
  request.resume();

  function end(): void {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    socket.end();
    timer = setTimeout(() => socket.destroy(), lingerMs);
  }
}
