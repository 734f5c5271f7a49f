import type { RequestInfo } from '../kube/request-info.ts';
import { formatMicroTime, preciseNow } from '../kube/micro-time.ts';
import type { Status } from '../kube/status.ts';
import type { UserInfo } from '../kube/user-info.ts';
import { auditedUser, auditedUserAgent, sourceAddresses } from './audit-event.ts';
import type { AuditEvent, AuditedObject, AuditedStatus } from './audit-event.ts';
import { withoutManagedFields } from './audit-managed-fields.ts';
import type { AuditDecision, AuditLevel, AuditStage } from './audit-policy.ts';
import type { Exchange } from './exchange.ts';

/** What is known of a request when its audit record is begun. */
export interface AuditedRequest {
  readonly exchange: Pick<Exchange, 'method' | 'target' | 'headers' | 'connection'>;
  readonly auditId: string;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
  /** Undefined for a target that could not be read. */
  readonly info: RequestInfo | undefined;
  /** Who was authenticated, before impersonation. */
  readonly user: UserInfo | undefined;
}

/**
 * What those who answer a request may add to its audit record. Objects are kept only where the policy's level wants
 * them, up to {@link maxObjectBytes} each; a call at any other level costs next to nothing.
 */
export interface RequestAudit {
  /** The decoded object of a create, update or delete, as the caller sent it. Never a proxied body. */
  requestObject(object: unknown): void;
  /** The decoded patch, as the caller sent it. */
  requestPatch(patch: unknown): void;
  /** The object that is answered. */
  responseObject(object: unknown): void;
  /** The failure that is answered. */
  responseStatus(status: Status): void;
  /** The head of a long-running answer is out. */
  responseStarted(code: number): void;
  impersonated(user: UserInfo): void;
  annotate(key: string, value: string): void;
}

/** How a request ended. */
export interface AuditedEnd {
  /** What was answered; undefined where the caller left before. */
  readonly code: number | undefined;
  /** What was thrown, as callers may know it. */
  readonly failure?: Status | undefined;
  /** Nobody meant it for callers: a fault of the server. */
  readonly panicked?: boolean;
  /** It ended while it was found out who asks. */
  readonly unauthenticated?: boolean;
}

/** As kube-apiserver's --audit-log-truncate-max-event-size: what is larger is left out, and the event says so. */
export const maxObjectBytes = 100 * 1024;
const TRUNCATED = 'audit.k8s.io/truncated';

export interface AuditRecordOptions {
  readonly request: AuditedRequest;
  readonly decision: AuditDecision;
  /** The policy's, or less where no object is ever seen. */
  readonly level: AuditLevel;
  readonly write: (event: AuditEvent) => void;
}

/** One audited request: its events share what was known at its beginning. */
export class AuditRecord implements RequestAudit {
  readonly #request: AuditedRequest;
  readonly #decision: AuditDecision;
  readonly #level: AuditLevel;
  readonly #write: (event: AuditEvent) => void;
  #shared: SharedFields | undefined;
  #objectRef: AuditedObject | undefined;
  #status: AuditedStatus | undefined;
  #impersonated: UserInfo | undefined;
  #requestObject: unknown;
  #responseObject: unknown;
  #annotations: Record<string, string> | undefined;
  #started = false;

  constructor({ request, decision, level, write }: AuditRecordOptions) {
    this.#request = request;
    this.#decision = decision;
    this.#level = level;
    this.#write = write;
    this.#objectRef = objectRefOf(request.info);
  }

  requestObject(object: unknown): void {
    this.#referTo(object);
    if (this.#level === 'Request' || this.#level === 'RequestResponse')
      this.#requestObject = this.#copyOf(object);
  }

  requestPatch(patch: unknown): void {
    if (this.#level === 'Request' || this.#level === 'RequestResponse')
      this.#requestObject = this.#copyOf(patch);
  }

  responseObject(object: unknown): void {
    if (this.#level === 'RequestResponse') this.#responseObject = this.#copyOf(object);
  }

  responseStatus(status: Status): void {
    const { metadata, status: outcome, message, reason, details, code } = status;
    this.#status = {
      metadata,
      status: outcome,
      message,
      ...(reason === undefined ? {} : { reason }),
      ...(details === undefined ? {} : { details }),
      code,
    };
    this.responseObject(status);
  }

  impersonated(user: UserInfo): void {
    this.#impersonated = user;
  }

  annotate(key: string, value: string): void {
    this.#annotations ??= {};
    this.#annotations[key] ??= value;
  }

  received(): void {
    this.#emit('RequestReceived', this.#request.receivedAt);
  }

  responseStarted(code: number): void {
    if (this.#started) return;
    this.#started = true;
    this.#status ??= { metadata: {}, code };
    this.#emit('ResponseStarted', preciseNow());
  }

  ended({ code, failure, panicked, unauthenticated }: AuditedEnd): void {
    if (code === undefined) {
      this.#status = { metadata: {}, status: 'Failure', message: 'Connection closed early', code: 499 };
    } else if (failure) {
      // Where the head was out already, its code counts, and the answer was cut; but for a fault of ours.
      this.responseStatus(panicked ? failure : { ...failure, code });
      // kube-apiserver writes this one event, of this stage (endpoints/filters/authn_audit.go).
      if (unauthenticated) {
        this.responseStarted(code);
        return;
      }
    } else this.#status ??= { metadata: {}, code };
    this.#emit(panicked ? 'Panic' : 'ResponseComplete', preciseNow());
  }

  #emit(stage: AuditStage, at: number): void {
    if (this.#decision.omitStages.has(stage)) return;
    this.#shared ??= sharedFields(this.#request);
    const { requestURI, verb, user, sourceIPs, userAgent, requestReceivedTimestamp } = this.#shared;
    this.#write({
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: this.#level,
      auditID: this.#request.auditId,
      stage,
      requestURI,
      verb,
      user,
      impersonatedUser: this.#impersonated && auditedUser(this.#impersonated),
      sourceIPs,
      userAgent,
      objectRef: this.#objectRef,
      responseStatus: this.#status,
      requestObject: this.#requestObject,
      responseObject: this.#responseObject,
      requestReceivedTimestamp,
      stageTimestamp: at === this.#request.receivedAt ? requestReceivedTimestamp : formatMicroTime(at),
      annotations: this.#annotations,
    });
  }

  /** As it is at this moment: the caller may change the object afterwards. */
  #copyOf(object: unknown): unknown {
    if (!this.#request.info?.isResourceRequest) return undefined;
    if (object === undefined) return undefined;
    const text = JSON.stringify(this.#decision.omitManagedFields ? withoutManagedFields(object) : object);
    if (text.length <= maxObjectBytes) return JSON.parse(text) as unknown;
    this.annotate(TRUNCATED, 'true');
    return undefined;
  }

  /** What the path does not say of the object, the object does. */
  #referTo(object: unknown): void {
    const metadata = fieldOf(object, 'metadata');
    if (metadata === undefined || this.#objectRef === undefined) return;
    const { namespace, name, uid, resourceVersion, ...rest } = this.#objectRef;
    this.#objectRef = {
      ...rest,
      ...textField('namespace', namespace ?? fieldOf(metadata, 'namespace')),
      ...textField('name', name ?? fieldOf(metadata, 'name')),
      ...textField('uid', uid ?? fieldOf(metadata, 'uid')),
      ...textField('resourceVersion', resourceVersion ?? fieldOf(metadata, 'resourceVersion')),
    };
  }
}

type SharedFields = Pick<
  AuditEvent,
  'requestURI' | 'verb' | 'user' | 'sourceIPs' | 'userAgent' | 'requestReceivedTimestamp'
>;

function sharedFields({ exchange, info, user, receivedAt }: AuditedRequest): SharedFields {
  return {
    requestURI: exchange.target,
    verb: info?.verb ?? exchange.method.toLowerCase(),
    user: auditedUser(user),
    sourceIPs: sourceAddresses(exchange.headers, exchange.connection.remoteAddress),
    userAgent: auditedUserAgent(exchange.headers),
    requestReceivedTimestamp: formatMicroTime(receivedAt),
  };
}

function objectRefOf(info: RequestInfo | undefined): AuditedObject | undefined {
  if (!info?.isResourceRequest) return undefined;
  const { resource, namespace, name, apiGroup, apiVersion, subresource } = info;
  return {
    resource,
    ...(namespace ? { namespace } : {}),
    ...(name ? { name } : {}),
    ...(apiGroup ? { apiGroup } : {}),
    apiVersion,
    ...(subresource ? { subresource } : {}),
  };
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

const textField = (name: keyof AuditedObject, value: unknown): AuditedObject =>
  typeof value === 'string' && value !== '' ? { [name]: value } : {};
