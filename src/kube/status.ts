/** metav1.Status reasons that this program gives, with their HTTP codes (k8s.io/apimachinery pkg/api/errors). */
export const statusCodes = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  BadGateway: 502,
  ServiceUnavailable: 503,
  Timeout: 504,
} as const;

export type StatusReason = keyof typeof statusCodes;

export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

/** metav1.Status of a failure. */
export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  /** `continue` leads on from a page of a list that expired. */
  readonly metadata: { readonly continue?: string };
  readonly status: 'Failure';
  readonly message: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code: number;
}

/** A failure in Kubernetes' words: what the caller gets. `cause` is logged, never sent. */
export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly status: Status;

  constructor(
    reason: StatusReason,
    message: string,
    options: {
      details?: StatusDetails;
      metadata?: Status['metadata'];
      code?: number;
      cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: options.metadata ?? {},
      status: 'Failure',
      message,
      reason,
      ...(options.details ? { details: options.details } : {}),
      code: options.code ?? statusCodes[reason],
    };
  }
}

export interface ResourceName {
  readonly group: string;
  readonly resource: string;
}

const qualified = ({ group, resource }: ResourceName) => (group ? `${resource}.${group}` : resource);

export function notFound(resource: ResourceName, name: string): StatusError {
  return new StatusError('NotFound', `${qualified(resource)} "${name}" not found`, {
    details: { name, group: resource.group, kind: resource.resource },
  });
}

export function alreadyExists(resource: ResourceName, name: string): StatusError {
  return new StatusError('AlreadyExists', `${qualified(resource)} "${name}" already exists`, {
    details: { name, group: resource.group, kind: resource.resource },
  });
}

/** What was to be changed is no longer as the caller knows it; `why` is for people. */
export function conflict(resource: ResourceName, name: string, why: string): StatusError {
  return new StatusError(
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`,
    { details: { name, group: resource.group, kind: resource.resource } },
  );
}

/** The conflict of an update whose resource version is not the present one. */
export function modified(resource: ResourceName, name: string): StatusError {
  return conflict(
    resource,
    name,
    'the object has been modified; please apply your changes to the latest version and try again',
  );
}

export function badRequest(message: string): StatusError {
  return new StatusError('BadRequest', message);
}

export function methodNotAllowed(): StatusError {
  return new StatusError(
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
  );
}

/** A path below a known API group that names nothing. */
export function unknownResource(): StatusError {
  return new StatusError('NotFound', 'the server could not find the requested resource', { details: {} });
}

/** A resource that exists, and does not offer this verb. */
export function verbNotSupported(resource: ResourceName, verb: string): StatusError {
  return new StatusError(
    'MethodNotAllowed',
    `${verb} is not supported on resources of kind "${qualified(resource)}"`,
    { details: { group: resource.group, kind: resource.resource } },
  );
}

export function notAcceptable(mediaTypes: readonly string[]): StatusError {
  return new StatusError(
    'NotAcceptable',
    `only the following media types are accepted: ${mediaTypes.join(', ')}`,
  );
}

export function unsupportedMediaType(mediaTypes: readonly string[]): StatusError {
  return new StatusError(
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${mediaTypes.join(', ')}`,
  );
}

export function entityTooLarge(detail: string): StatusError {
  return new StatusError('RequestEntityTooLarge', `Request entity too large: ${detail}`);
}

/** The state or the events since a resource version are no longer known: whoever asks lists anew. */
export function expired(message: string): StatusError {
  return new StatusError('Expired', message);
}

/** A resource version from the future: another replica gave it, and this one is behind. */
export function resourceVersionTooLarge(asked: string, current: string): StatusError {
  const message = `Too large resource version: ${asked}, current: ${current}`;
  return new StatusError('Timeout', message, {
    details: {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      retryAfterSeconds: 1,
    },
  });
}

/** One field that is wrong; `message` starts with what kind of error it is, as in `Forbidden: …`. */
export type FieldCause = Required<StatusCause>;

export const fieldForbidden = (field: string, detail: string): FieldCause => ({
  reason: 'FieldValueForbidden',
  message: `Forbidden: ${detail}`,
  field,
});

export const fieldNotSupported = (
  field: string,
  value: string,
  supported: readonly string[],
): FieldCause => ({
  reason: 'FieldValueNotSupported',
  message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported.map((each) => JSON.stringify(each)).join(', ')}`,
  field,
});

export const fieldInvalid = (field: string, value: unknown, detail: string): FieldCause => ({
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${JSON.stringify(value)}: ${detail}`,
  field,
});

export const fieldRequired = (field: string, detail = ''): FieldCause => ({
  reason: 'FieldValueRequired',
  message: `Required value${detail ? `: ${detail}` : ''}`,
  field,
});

/** `limit` is in bytes. */
export const fieldTooLong = (field: string, limit: number): FieldCause => ({
  reason: 'FieldValueTooLong',
  message: `Too long: may not be more than ${limit} bytes`,
  field,
});

/** 422 for an object, or options, whose fields do not go together. */
export function invalid(
  { group, kind }: { group: string; kind: string },
  name: string,
  causes: readonly FieldCause[],
): StatusError {
  const texts = causes.map(({ field, message }) => `${field}: ${message}`);
  const joined = texts.length === 1 ? texts.join('') : `[${texts.join(', ')}]`;
  const qualifiedKind = group ? `${kind}.${group}` : kind;
  return new StatusError('Invalid', `${qualifiedKind} "${name}" is invalid: ${joined}`, {
    details: { ...(name ? { name } : {}), group, kind, causes },
  });
}
