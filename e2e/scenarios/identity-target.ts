import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { issueCertificate } from '../../src/pki/issue.ts';

export interface RecordedRequest {
  readonly protocol: string;
  readonly method: string;
  readonly path: string;
  /** Raw lines as name, value …; without pseudo headers. */
  readonly headers: readonly string[];
}

type TargetRequest = IncomingMessage | Http2ServerRequest;
type TargetResponse = ServerResponse | Http2ServerResponse;

export interface TargetOptions {
  /** Default both. */
  readonly protocol?: 'http/1.1' | 'h2';
  /** Answers; default 200 with a few bytes. */
  readonly answer?: (request: IncomingMessage, response: ServerResponse) => void;
  /** Answers an upgrade on its socket; default 101 and an echo. */
  readonly upgrade?: (request: IncomingMessage, socket: Duplex) => void;
  readonly port?: number;
}

/** A TLS server that takes note of all that reaches it. */
export interface RecordingTarget {
  readonly url: string;
  readonly port: number;
  readonly caPem: string;
  readonly requests: RecordedRequest[];
  /** All that came on the sockets of upgrades, behind the request. */
  readonly upgradedBytes: () => string;
  /** Connections that are open, and that ever were. */
  readonly open: () => number;
  readonly accepted: () => number;
  /** Requests that are being answered. */
  readonly running: () => number;
  close(): Promise<void>;
}

/** Starts one on loopback. */
export async function startTarget(options: TargetOptions = {}): Promise<RecordingTarget> {
  const identity = await targetIdentity();
  const requests: RecordedRequest[] = [];
  const sockets = new Set<Socket>();
  let accepted = 0;
  let running = 0;
  let upgradedBytes = '';
  const note = (request: TargetRequest): void => {
    const headers = request.rawHeaders.filter((_, i, all) => !all[i - (i % 2)]?.startsWith(':'));
    const { method = '', url = '' } = request;
    requests.push({ protocol: request.httpVersion, method, path: url, headers });
  };
  const serve = (request: TargetRequest, response: TargetResponse): void => {
    note(request);
    running += 1;
    response.once('close', () => (running -= 1));
    request.on('error', () => {});
    response.on('error', () => {});
    // Node's HTTP/2 objects are written like those of HTTP/1.1; only their types differ.
    (options.answer ?? answerOk)(request as IncomingMessage, response as ServerResponse);
  };
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    note(request);
    upgradedBytes += head.toString('latin1');
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => (upgradedBytes += chunk.toString('latin1')));
    (options.upgrade ?? answerUpgrade)(request, socket);
  };
  const tls = { key: identity.privateKeyPem, cert: identity.certificatePem };
  const server =
    options.protocol === 'http/1.1'
      ? createHttpsServer(tls, serve)
      : createSecureServer({ ...tls, allowHTTP1: options.protocol !== 'h2' }, serve);
  server.on('upgrade', upgrade);
  server.on('connection', (socket: Socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    ...{ url: `https://127.0.0.1:${port}`, port, caPem: identity.caPem, requests },
    upgradedBytes: () => upgradedBytes,
    open: () => sockets.size,
    accepted: () => accepted,
    running: () => running,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

let made: Promise<{ certificatePem: string; privateKeyPem: string; caPem: string }> | undefined;

/** One for all: a target that is started anew must be trusted as before. */
function targetIdentity(): NonNullable<typeof made> {
  made ??= (async () => {
    const ca = await issueCertificate({ commonName: 'target-ca', ca: true });
    const profile = { commonName: 'target', usages: ['serverAuth'], ipAddresses: ['127.0.0.1'] } as const;
    return { ...(await issueCertificate(profile, { issuer: ca })), caPem: ca.certificatePem };
  })();
  return made;
}

function answerOk(_: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/plain' }).end('recorded');
}

function answerUpgrade(request: IncomingMessage, socket: Duplex): void {
  const protocol = request.headers.upgrade ?? '';
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`);
  socket.on('data', (chunk: Buffer) => socket.write(`echo:${chunk.toString('latin1')}`));
  socket.on('end', () => socket.end());
}
