import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { Registry } from 'prom-client';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';

export interface Readiness {
  readonly ok: boolean;
  /** What is answered: `ok`, or what is missing. */
  readonly text: string;
}

export interface HealthServerOptions {
  /** Empty: every address of the machine. */
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  readonly readiness: () => Readiness;
  /** The Go server answers 500, the Go agent 503. */
  readonly notReadyStatus: 500 | 503;
  readonly registry: Registry;
  readonly log: Log;
}

export interface AdminServerOptions {
  readonly host: string;
  readonly port: number;
  /** Where `/metrics` is found, on the same host. */
  readonly healthUrlPort: number;
  readonly log: Log;
  /** Answers `/metrics` itself, as the Go server does; without it there is a redirection, as from the Go agent. */
  readonly registry?: Registry;
}

export type ListeningServer = Closable & { readonly port: number };

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly contentType?: string;
  readonly location?: string;
}

/**
 * Serves `/healthz`, `/readyz` (with the old name `/ready`) and `/metrics` over plain HTTP.
 *
 * @throws Error when the port cannot be listened on.
 */
export function startHealthServer(options: HealthServerOptions): Promise<ListeningServer> {
  const { readiness, notReadyStatus, registry } = options;
  return startServer(options, async (path) => {
    switch (path) {
      case '/healthz':
        return { status: 200, text: 'ok' };
      case '/readyz':
      case '/ready': {
        const { ok, text } = readiness();
        return { status: ok ? 200 : notReadyStatus, text };
      }
      case '/metrics':
        return metricsOf(registry);
      default:
        return notFound;
    }
  });
}

/**
 * Serves what is for the machine alone. There is no `/debug/pprof`: Node has other tools for that.
 *
 * @throws Error when the port cannot be listened on.
 */
export function startAdminServer(options: AdminServerOptions): Promise<ListeningServer> {
  const { registry, healthUrlPort } = options;
  return startServer(options, async (path, request) => {
    if (path !== '/metrics') return notFound;
    return registry ? metricsOf(registry) : redirection(request, healthUrlPort);
  });
}

const notFound: Answer = { status: 404, text: '404 page not found' };

async function metricsOf(registry: Registry): Promise<Answer> {
  return { status: 200, text: await registry.metrics(), contentType: registry.contentType };
}

function redirection(request: IncomingMessage, port: number): Answer {
  const asked = `http://${request.headers.host ?? ''}${request.url ?? ''}`;
  if (!URL.canParse(asked)) return { status: 400, text: 'the Host header cannot be read' };
  const url = new URL(asked);
  url.port = String(port);
  return { status: 301, text: 'Moved Permanently', location: url.href };
}

/** Far above what probes and scrapers need. */
const maxConnections = 256;
/** How long answers that are being sent have when the server closes. */
const closeGraceMs = 1_000;

async function startServer(
  { host, port, log }: { readonly host: string; readonly port: number; readonly log: Log },
  answer: (path: string, request: IncomingMessage) => Promise<Answer>,
): Promise<ListeningServer> {
  const server = createServer({ headersTimeout: 10_000, requestTimeout: 30_000 }, (request, response) => {
    const respond = ({ status, text, contentType = 'text/plain; charset=utf-8', location }: Answer) => {
      if (location !== undefined) response.setHeader('location', location);
      const body = Buffer.from(text);
      response.writeHead(status, { 'content-type': contentType, 'content-length': body.length });
      response.end(request.method === 'HEAD' ? undefined : body);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD').setHeader('connection', 'close');
      respond({ status: 405, text: 'only GET and HEAD are known here' });
      return;
    }
    answer(request.url?.split('?', 1)[0] ?? '', request).then(respond, (error: unknown) => {
      log.error({ err: error, path: request.url }, 'the answer of a probe or scrape failed');
      respond({ status: 500, text: 'Internal Server Error' });
    });
  });
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  server.on('error', (error) => log.error({ err: error }, 'a listener failed'));
  const bound = server.address();
  return {
    port: bound !== null && typeof bound !== 'string' ? bound.port : port,
    ...endsOf(server),
  };
}

/** Node waits without limit for connections that have sent nothing yet. */
function endsOf(server: Server): Closable {
  let closing: Promise<void> | undefined;
  const close = async () => {
    const timer = setTimeout(() => server.closeAllConnections(), closeGraceMs);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    clearTimeout(timer);
  };
  return {
    close: () => (closing ??= close()),
    destroy: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
