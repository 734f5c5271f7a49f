import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';

/** Connections of a caller that h2load cannot play. */
export interface Http2Driver {
  /** Sends a GET on the next connection in turn and waits for its head. @throws Error when it is not 200 */
  open(path: string): Promise<ClientHttp2Stream>;
  close(): void;
}

export interface Http2DriverOptions {
  readonly url: string;
  readonly caPem: string;
  readonly token: string;
  readonly connections: number;
}

/** Connects at once. */
export async function createHttp2Driver(options: Http2DriverOptions): Promise<Http2Driver> {
  const { origin } = new URL(options.url);
  const sessions = await Promise.all(
    Array.from({ length: options.connections }, () => openSession(origin, options.caPem)),
  );
  const authorization = `Bearer ${options.token}`;
  let next = 0;
  return {
    async open(path) {
      const session = sessions[next];
      next = (next + 1) % sessions.length;
      if (session === undefined) throw new Error('no connection');
      const stream = session.request({ ':path': path, authorization });
      const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
      if (headers[':status'] !== 200) throw new Error(`GET ${path}: ${headers[':status'] ?? 'no status'}`);
      return stream;
    },
    close: () => sessions.forEach((session) => session.destroy()),
  };
}

async function openSession(origin: string, ca: string): Promise<ClientHttp2Session> {
  const session = connect(origin, { ca, peerMaxConcurrentStreams: 1000 });
  await once(session, 'connect');
  // What ends it later is seen by the streams.
  session.on('error', () => {});
  return session;
}
