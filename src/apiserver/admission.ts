import { allHeaders } from '../base/header-lines.ts';
import type { Log } from '../base/log.ts';
import { Failure } from '../base/failure.ts';
import { preciseNow } from '../kube/micro-time.ts';
import { requestInfo } from '../kube/request-info.ts';
import type { RequestInfo } from '../kube/request-info.ts';
import { StatusError, badRequest } from '../kube/status.ts';
import type { UserInfo } from '../kube/user-info.ts';
import { auditIdOf } from './audit-id.ts';
import type { AuditRecord, RequestAudit } from './audit-record.ts';
import type { Audit } from './audit.ts';
import type { AuthenticatedCaller } from './authenticator.ts';
import { AccessDenied } from './authorizer.ts';
import type { Authorizer } from './authorizer.ts';
import type { Exchange } from './exchange.ts';
import { asksForImpersonation, impersonatedUser } from './impersonation.ts';
import { TooManyRequests } from './in-flight.ts';
import type { InFlight, RequestClass } from './in-flight.ts';
import type { RequestMetrics } from './metrics.ts';
import { noteCaller } from './note-caller.ts';
import { RequestDeadline, requestedTimeout, timeoutError } from './request-deadline.ts';
import { respondStatus, statusErrorOf } from './status-response.ts';
import { respondTryLater } from './try-later.ts';

/** A request that was let in: what was checked is what is used from here on. */
export interface Admitted {
  readonly user: UserInfo;
  /** It came through kube-aggregator. */
  readonly frontProxy: boolean;
  readonly info: RequestInfo;
  readonly auditId: string;
  /** Undefined where nothing is written of the request. */
  readonly audit: RequestAudit | undefined;
  /** Whoever knows that the request goes on starts it anew. Long-running requests have none, unless they are proxied. */
  readonly deadline: Pick<RequestDeadline, 'restart' | 'lift'>;
}

/** Answers an admitted request. What it throws is answered as a Status. */
export interface Route {
  readonly requestClass: RequestClass;
  /** Served whatever the load: probes. */
  readonly isExempt?: boolean;
  /**
   * Another server answers: `?timeout=` is for that one, which reads it itself, and whoever carries the request decides
   * how long its deadline lasts.
   */
  readonly isProxied?: boolean;
  /** What is answered when the time is up while `handle` is at work; default kube-apiserver's 504. */
  readonly timeoutError?: () => StatusError;
  readonly handle: (exchange: Exchange, admitted: Admitted) => void | Promise<void>;
}

export interface AdmissionOptions {
  readonly authenticate: (exchange: Exchange) => Promise<AuthenticatedCaller>;
  readonly authorizer: Authorizer;
  readonly inFlight: InFlight;
  /** Of requests that are not long-running (`--request-timeout`); default a minute, as kube-apiserver's. */
  readonly requestTimeoutMs?: number;
  readonly metrics: RequestMetrics;
  /** Undefined: nothing is audited. */
  readonly audit: Audit | undefined;
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
  tracked.authenticated(caller.user);
  // The hub has applied `--as` before a request comes from it; a direct caller's headers are judged here.
  if (!frontProxy && asksForImpersonation(exchange.headers)) {
    const { headers, signal } = exchange;
    tracked.impersonated(await impersonatedUser({ headers, user: caller.user, signal }, options.authorizer));
  }
  const user = tracked.impersonatedUser ?? caller.user;
  const route = options.route(info, exchange);
  tracked.routed(route.requestClass);
  const isLongRunning = route.requestClass === 'longRunning';
  const { audit, auditId, deadline } = tracked;
  if (!isLongRunning && !route.isProxied) deadline.lower(requestedTimeout(exchange.target) ?? 0);
  if (!route.isExempt) {
    const place = options.inFlight.enter(route.requestClass, user, deadline);
    exchange.onEnd(place instanceof Promise ? await place : place);
  }
  const review = options.authorizer.authorize(user, info, exchange.signal);
  await notedReview(review, audit, options.metrics);
  if (isLongRunning && !route.isProxied) deadline.lift();
  if (route.timeoutError) tracked.timeoutError = route.timeoutError;
  const answer = route.handle(exchange, { user, frontProxy, info, auditId, audit, deadline });
  if (answer) await answer;
}

/** Notes and counts the decision (apiserver endpoints/filters/authorization.go). */
async function notedReview(
  review: Promise<string> | undefined,
  audit: AuditRecord | undefined,
  metrics: RequestMetrics,
): Promise<void> {
  try {
    const reason = review ? await review : '';
    metrics.countAuthorization('allowed');
    audit?.annotate('authorization.k8s.io/decision', 'allow');
    audit?.annotate('authorization.k8s.io/reason', reason);
  } catch (error) {
    const denied = error instanceof AccessDenied;
    metrics.countAuthorization(denied ? 'denied' : 'error');
    if (denied) audit?.annotate('authorization.k8s.io/decision', 'forbid');
    audit?.annotate('authorization.k8s.io/reason', denied ? error.reason : 'internal error');
    throw error;
  }
}

async function authenticateCounted(
  exchange: Exchange,
  options: AdmissionOptions,
): Promise<AuthenticatedCaller> {
  try {
    const caller = await options.authenticate(exchange);
    noteCaller(exchange, caller);
    options.metrics.countAuthentication('success');
    return caller;
  } catch (error) {
    noteCaller(exchange, undefined);
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

/** A request from its first byte to its end: what the log, the metrics and the audit events say of it. */
class TrackedRequest {
  info: RequestInfo | undefined;
  audit: AuditRecord | undefined;
  impersonatedUser: UserInfo | undefined;
  readonly auditId: string;
  readonly deadline: RequestDeadline;
  /** What is answered when the time is up. */
  timeoutError = timeoutError;
  readonly #exchange: Exchange;
  readonly #options: AdmissionOptions;
  readonly #startedAt = performance.now();
  readonly #receivedAt = preciseNow();
  #requestClass: RequestClass = 'readOnly';
  #authenticated = false;
  #failure: StatusError | undefined;
  /** Something was thrown that nobody meant for callers. */
  #panicked = false;

  constructor(exchange: Exchange, options: AdmissionOptions) {
    this.#exchange = exchange;
    this.#options = options;
    this.auditId = auditIdOf(exchange.headers);
    this.deadline = new RequestDeadline(exchange, {
      timeoutMs: options.requestTimeoutMs ?? 60_000,
      onExpired: () => this.fail(this.timeoutError()),
    });
    exchange.onEnd(() => this.#finish());
  }

  authenticated(user: UserInfo): void {
    this.#authenticated = true;
    this.audit = this.#beginAudit(user);
    this.audit?.received();
  }

  impersonated(user: UserInfo | undefined): void {
    this.impersonatedUser = user;
    if (user) this.audit?.impersonated(user);
  }

  routed(requestClass: RequestClass): void {
    this.#requestClass = requestClass;
    const { audit } = this;
    if (audit && requestClass === 'longRunning') this.#exchange.onHead((code) => audit.responseStarted(code));
  }

  fail(error: unknown): void {
    // When the time is up, the deadline says so first, and then whoever worked on the request.
    if (this.#failure) return;
    const statusError = statusErrorOf(error);
    const { status } = statusError;
    // That callers go away is no failure of anybody, and would fill the log.
    if (status.code >= 500 && !this.#exchange.signal.aborted)
      this.#logFailure(statusError.cause ?? error, status.code);
    this.#failure = statusError;
    this.#panicked = !(error instanceof StatusError || error instanceof Failure);
    this.#answerFailure(statusError);
  }

  #logFailure(cause: unknown, code: number): void {
    const { log } = this.#options;
    const fields = { err: cause, auditID: this.auditId, code };
    if (cause instanceof Failure && cause.repeated) log.debug(fields, 'request failed');
    else log.warn(fields, 'request failed');
  }

  #answerFailure(error: StatusError): void {
    const auditHeader = ['audit-id', this.auditId];
    const { status } = error;
    if (this.#exchange.status !== undefined) this.#exchange.abort();
    else if (error instanceof TooManyRequests)
      respondTryLater(this.#exchange, { text: status.message, retryAfterSeconds: 1 }, auditHeader);
    else respondStatus(this.#exchange, status, auditHeader);
  }

  #beginAudit(user?: UserInfo): AuditRecord | undefined {
    const { info, auditId } = this;
    return this.#options.audit?.begin({
      ...{ exchange: this.#exchange, auditId, info, user },
      receivedAt: this.#receivedAt,
    });
  }

  #finish(): void {
    const code = this.#exchange.status ?? 499;
    const seconds = (performance.now() - this.#startedAt) / 1000;
    this.#options.metrics.observe({
      info: this.info,
      code,
      seconds,
      longRunning: this.#requestClass === 'longRunning',
    });
    this.#finishAudit();
  }

  #finishAudit(): void {
    // A request that nobody was authenticated for has one event only.
    if (!this.#authenticated) this.audit = this.#beginAudit();
    const { audit } = this;
    if (!audit) return;
    audit.ended({
      code: this.#exchange.status,
      failure: this.#failure?.status,
      panicked: this.#panicked,
      unauthenticated: !this.#authenticated && this.info !== undefined,
    });
  }
}
