import type { JsonObject } from '../kube/json-text.ts';
import { isJsonObject } from '../kube/json-text.ts';
import type { QueryParameters } from '../kube/query.ts';
import { isInt64 } from '../kube/request-info.ts';
import type { FieldCause } from '../kube/status.ts';
import {
  badRequest,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldTooLong,
  invalid,
} from '../kube/status.ts';
import type { DeleteRequest } from './resource.ts';

export type FieldValidation = 'Ignore' | 'Strict' | 'Warn';

/** metav1.CreateOptions, UpdateOptions and PatchOptions, read and checked. */
export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
}

const validations: readonly string[] = ['Ignore', 'Strict', 'Warn'];
const policies: readonly string[] = ['Foreground', 'Background', 'Orphan'];
/** Bytes. */
const maxManager = 128;

/** Throws a 422 StatusError for what is not allowed (apimachinery meta/v1/validation). */
export function parseWriteOptions(
  query: QueryParameters,
  kind: 'CreateOptions' | 'PatchOptions' | 'UpdateOptions',
): WriteOptions {
  const dryRun = query.all('dryRun');
  const fieldManager = query.first('fieldManager') ?? '';
  const fieldValidation = query.first('fieldValidation') ?? '';
  const causes = [
    // Only server-side apply, which is not offered, takes fields from others.
    ...(kind === 'PatchOptions' && query.has('force')
      ? [fieldForbidden('force', 'may not be specified for non-apply patch')]
      : []),
    ...managerCauses(fieldManager),
    ...dryRunCauses(dryRun),
    ...(fieldValidation === '' || validations.includes(fieldValidation)
      ? []
      : [fieldNotSupported('fieldValidation', fieldValidation, ['', ...validations])]),
  ];
  if (causes.length > 0) throw invalid({ group: 'meta.k8s.io', kind }, '', causes);
  return {
    dryRun: dryRun.length > 0,
    fieldManager,
    fieldValidation: fieldValidation === '' ? 'Warn' : (fieldValidation as FieldValidation),
  };
}

function managerCauses(manager: string): FieldCause[] {
  return [
    ...(Buffer.byteLength(manager) > maxManager ? [fieldTooLong('fieldManager', maxManager)] : []),
    ...(/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$/u.test(manager)
      ? []
      : [fieldInvalid('fieldManager', manager, 'should only contain printable characters')]),
  ];
}

const dryRunCauses = (values: readonly string[]): FieldCause[] =>
  values.every((value) => value === 'All') ? [] : [fieldNotSupported('dryRun', values.join(','), ['All'])];

/** metav1.DeleteOptions. */
export interface DeleteOptions extends DeleteRequest {
  readonly dryRun: boolean;
}

/**
 * From the body where there is one, else from the query: never of both, as in kube-apiserver. Throws a 400 StatusError
 * for what cannot be read, and 422 for what is not allowed.
 */
export function parseDeleteOptions(
  query: QueryParameters,
  body: unknown,
  { group, version }: { group: string; version: string },
): DeleteOptions {
  const fields = body === undefined ? fieldsOfQuery(query) : fieldsOfBody(body, `${group}/${version}`);
  const { dryRun, propagationPolicy, orphanDependents, gracePeriodSeconds, preconditions } = fields;
  const both = propagationPolicy !== undefined && orphanDependents !== undefined;
  const causes = [
    ...(both
      ? [
          fieldInvalid(
            'propagationPolicy',
            propagationPolicy,
            'orphanDependents and deletionPropagation cannot be both set',
          ),
        ]
      : []),
    ...(propagationPolicy === undefined || policies.includes(propagationPolicy)
      ? []
      : [fieldNotSupported('propagationPolicy', propagationPolicy, [...policies, 'nil'])]),
    ...dryRunCauses(dryRun),
  ];
  if (causes.length > 0) throw invalid({ group: 'meta.k8s.io', kind: 'DeleteOptions' }, '', causes);
  const orphans = orphanDependents === undefined ? undefined : orphanDependents ? 'Orphan' : 'Background';
  return {
    dryRun: dryRun.length > 0,
    preconditions,
    // Less than nothing is as little as there is.
    gracePeriodSeconds: gracePeriodSeconds !== undefined && gracePeriodSeconds < 0 ? 1 : gracePeriodSeconds,
    propagationPolicy: propagationPolicy ?? orphans,
  };
}

interface DeleteFields {
  readonly dryRun: readonly string[];
  readonly propagationPolicy: string | undefined;
  readonly orphanDependents: boolean | undefined;
  readonly gracePeriodSeconds: number | undefined;
  readonly preconditions: DeleteRequest['preconditions'];
}

function fieldsOfQuery(query: QueryParameters): DeleteFields {
  const seconds = query.first('gracePeriodSeconds');
  if (seconds !== undefined && !isInt64(seconds))
    throw badRequest(`gracePeriodSeconds: ${JSON.stringify(seconds)} is not an integer`);
  return {
    dryRun: query.all('dryRun'),
    propagationPolicy: query.first('propagationPolicy'),
    orphanDependents: query.has('orphanDependents') ? query.flag('orphanDependents') : undefined,
    gracePeriodSeconds: seconds === undefined ? undefined : Number(seconds),
    preconditions: {},
  };
}

function fieldsOfBody(body: unknown, ownVersion: string): DeleteFields {
  if (!isJsonObject(body)) throw badRequest('DeleteOptions must be an object');
  const { kind = 'DeleteOptions', apiVersion = 'v1' } = body;
  const isKnown = ['v1', 'meta.k8s.io/v1', ownVersion].includes(String(apiVersion));
  if (kind !== 'DeleteOptions' || !isKnown)
    throw badRequest('decoded object cannot be converted to DeleteOptions');
  const preconditions = field(body, 'preconditions', isJsonObject) ?? {};
  const uid = field(preconditions, 'uid', isString);
  const resourceVersion = field(preconditions, 'resourceVersion', isString);
  return {
    dryRun: field(body, 'dryRun', isStrings) ?? [],
    propagationPolicy: field(body, 'propagationPolicy', isString),
    orphanDependents: field(body, 'orphanDependents', isBoolean),
    gracePeriodSeconds: field(body, 'gracePeriodSeconds', isInteger),
    preconditions: {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
  };
}

/** Null is as good as nothing. */
function field<T>(object: JsonObject, name: string, is: (value: unknown) => value is T): T | undefined {
  const value = object[name];
  if (value === undefined || value === null) return undefined;
  if (!is(value)) throw badRequest(`DeleteOptions: ${name} has the wrong type`);
  return value;
}

const isString = (value: unknown): value is string => typeof value === 'string';
const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean';
const isInteger = (value: unknown): value is number => Number.isSafeInteger(value);
const isStrings = (value: unknown): value is string[] => Array.isArray(value) && value.every(isString);
