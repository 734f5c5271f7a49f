import { randomUUID } from 'node:crypto';
import { allHeaders, firstHeader } from '../base/header-lines.ts';
import type { Log } from '../base/log.ts';
import { requestInfo } from '../kube/request-info.ts';
import type { RequestInfo } from '../kube/request-info.ts';
import { StatusError, badRequest } from '../kube/status.ts';
import type { UserInfo } from '../kube/user-info.ts';
import type { AuditLog, AuditedRequest } from './audit.ts';
import { auditEvent } from './audit.ts';
import type { AuthenticatedCaller } from './authenticator.ts';
import type { Authorizer } from './authorizer.ts';
import type { Exchange } from './exchange.ts';
import { asksForImpersonation, impersonatedUser } from './impersonation.ts';
import type { InFlight, RequestClass } from './in-flight.ts';
import type { RequestMetrics } from './metrics.ts';
import { respondStatus, statusErrorOf } from './status-response.ts';

/** A request that was let in: what was checked is what is used from here on. */
export interface Admitted {
  readonly user: UserInfo;
  /** It came through kube-aggregator. */
  readonly frontProxy: boolean;
  readonly info: RequestInfo;
  readonly auditId: string;
}

/** Answers an admitted request. What it throws is answered as a Status. */
export interface Route {
  readonly requestClass: RequestClass;
  readonly handle: (exchange: Exchange, admitted: Admitted) => void | Promise<void>;
}

export interface AdmissionOptions {
  readonly authenticate: (exchange: Exchange) => Promise<AuthenticatedCaller>;
  readonly authorizer: Authorizer;
  readonly inFlight: InFlight;
  readonly metrics: RequestMetrics;
  readonly auditLog: AuditLog | undefined;
  /** Finds who answers; the first thing that is known of a request is what it is about. */
  readonly route: (info: RequestInfo, exchange: Exchange) => Route;
  readonly log: Log;
}

/**
 * The one way in: every request, plain or upgrade, over HTTP/1.1 or HTTP/2, is authenticated, limited, authorized,
 * counted and audited here, in kube-apiserver's order, before anything answers it.
 */
export function createAdmission(options: AdmissionOptions): (exchange: Exchange) => void {
  return (exchange) => {
    const tracked = new TrackedRequest(exchange, options);
    admit(exchange, tracked, options).catch((error: unknown) => tracked.fail(error));
  };
}

async function admit(exchange: Exchange, tracked: TrackedRequest, options: AdmissionOptions): Promise<void> {
  checkTarget(exchange);
  checkHost(exchange);
  const info = requestInfo(exchange.method, exchange.target);
  tracked.info = info;
  const caller = await authenticateCounted(exchange, options);
  const { frontProxy } = caller;
  tracked.user = caller.user;
  // The hub has applied `--as` before a request comes from it; a direct caller's headers are judged here.
  if (!frontProxy && asksForImpersonation(exchange.headers)) {
    const { headers, signal } = exchange;
    tracked.impersonated = await impersonatedUser({ headers, user: caller.user, signal }, options.authorizer);
  }
  const user = tracked.impersonated ?? caller.user;
  const route = options.route(info, exchange);
  tracked.requestClass = route.requestClass;
  exchange.onEnd(options.inFlight.enter(route.requestClass, user));
  const review = options.authorizer.authorize(user, info, exchange.signal);
  if (review) await review;
  const answer = route.handle(exchange, { user, frontProxy, info, auditId: tracked.auditId });
  if (answer) await answer;
}

async function authenticateCounted(
  exchange: Exchange,
  options: AdmissionOptions,
): Promise<AuthenticatedCaller> {
  try {
    const caller = await options.authenticate(exchange);
    options.metrics.countAuthentication('success');
    return caller;
  } catch (error) {
    options.metrics.countAuthentication(error instanceof StatusError ? 'failure' : 'error');
    throw error;
  }
}

/** Only the origin form names a path of ours (RFC 9112 3.2); an absolute URL or `*` is for other servers. */
function checkTarget({ target }: Exchange): void {
  if (!target.startsWith('/')) throw badRequest('the request target must be a path');
  if (target.includes('#')) throw badRequest('the request target must not have a fragment');
}

/** Which of two Host lines counts, servers disagree on; Node's parser lets both through (RFC 9112 3.2 demands 400). */
function checkHost({ protocol, headers }: Exchange): void {
  if (protocol === 'HTTP/1.1' && allHeaders(headers, 'host').length > 1) {
    throw badRequest('there must be one Host line');
  }
}

const auditIdShape = /^[\x21-\x7e]{1,64}$/;

/** A request from its first byte to its end: what the log, the metrics and the audit line say of it. */
class TrackedRequest {
  info: RequestInfo | undefined;
  user: UserInfo | undefined;
  impersonated: UserInfo | undefined;
  requestClass: RequestClass = 'readOnly';
  readonly auditId: string;
  readonly #exchange: Exchange;
  readonly #options: AdmissionOptions;
  readonly #startedAt = performance.now();
  readonly #receivedAt = new Date();

  constructor(exchange: Exchange, options: AdmissionOptions) {
    this.#exchange = exchange;
    this.#options = options;
    const given = firstHeader(exchange.headers, 'audit-id');
    this.auditId = given !== undefined && auditIdShape.test(given) ? given : randomUUID();
    exchange.onEnd(() => this.#finish());
  }

  fail(error: unknown): void {
    const statusError = statusErrorOf(error);
    const { status } = statusError;
    // That callers go away is no failure of anybody, and would fill the log.
    if (status.code >= 500 && !this.#exchange.signal.aborted) {
      this.#options.log.warn(
        { err: statusError.cause ?? error, auditID: this.auditId, code: status.code },
        'request failed',
      );
    }
    if (this.#exchange.status === undefined)
      respondStatus(this.#exchange, status, ['audit-id', this.auditId]);
    else this.#exchange.abort();
  }

  #finish(): void {
    const code = this.#exchange.status ?? 499;
    const seconds = (performance.now() - this.#startedAt) / 1000;
    this.#options.metrics.observe({
      info: this.info,
      code,
      seconds,
      longRunning: this.requestClass === 'longRunning',
    });
    const audited: AuditedRequest = {
      exchange: this.#exchange,
      auditId: this.auditId,
      receivedAt: this.#receivedAt,
      info: this.info,
      user: this.user,
    };
    if (this.#isAudited()) this.#options.auditLog?.write(auditEvent(audited, 'ResponseComplete', new Date()));
  }

  /** Probes come every few seconds and say nothing about anybody. */
  #isAudited(): boolean {
    return !/^\/(?:livez|readyz|healthz)(?:\/|$)/.test(this.info?.path ?? '');
  }
}
