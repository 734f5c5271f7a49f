import type { Duplex } from 'node:stream';

type Written = (error?: Error | null) => void;

/**
 * Has a connection be read to its end when its peer takes nothing more. A peer that closes while bytes of ours are unread
 * or on their way resets the connection (RFC 9293 §3.6.1), and the next write fails (EPIPE, ECONNRESET): Node destroys the socket
 * for it, and loses what the peer sent before, which still waits in the kernel. It is the end of a quick `kubectl exec`,
 * whose output and exit code were lost now and then. With this what is written then is dropped, as on a connection
 * whose other side is gone; the end is what the peer's side says.
 */
export function readBehindWriteErrors(socket: Duplex): void {
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  let isOver = false;
  const past = (done: Written) => (error?: Error | null) => {
    isOver ||= Boolean(error);
    done();
  };
  socket._write = (chunk, encoding, done) => {
    if (isOver) done();
    else write(chunk, encoding, past(done));
  };
  if (!writev) return;
  socket._writev = (chunks, done) => {
    if (isOver) done();
    else writev(chunks, past(done));
  };
}
