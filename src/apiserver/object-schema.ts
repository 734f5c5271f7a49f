import type { ErrorObject, ValidateFunction } from 'ajv';
import { Ajv } from 'ajv';
import type { JsonObject } from '../kube/json-text.ts';
import { isJsonObject, pathText } from '../kube/json-text.ts';
import type { FieldCause } from '../kube/status.ts';
import { fieldInvalid, fieldNotSupported, fieldRequired } from '../kube/status.ts';
import { metaSchemas } from './openapi-meta.ts';
import { objectSchema } from './openapi.ts';
import type { AnyResource, JsonSchema } from './resource.ts';

/** What a schema says of an object. */
export interface SchemaFindings {
  /** The object without the fields that its schema does not know. */
  readonly object: JsonObject;
  /** As paths: `spec.colour`. */
  readonly unknownFields: readonly string[];
  readonly causes: readonly FieldCause[];
}

export type ObjectSchema = (object: JsonObject) => SchemaFindings;

/** More are not told: an array may have a million wrong elements. */
const maxFindings = 100;
/** Characters of a document in which all that is wrong is looked for; in a larger one it ends with the first. */
const maxThorough = 64 * 1024;

/** Makes the check of a resource's objects; its schema is compiled at the first use. */
export function createObjectSchema(resource: AnyResource): ObjectSchema {
  const schema = objectSchema(resource);
  let validators: { thorough: ValidateFunction; quick: ValidateFunction } | undefined;
  return (given) => {
    validators ??= { thorough: compile(schema, true), quick: compile(schema, false) };
    const unknownFields: string[] = [];
    const object = known(given, schema, { path: [], unknownFields }) as JsonObject;
    const isSmall = JSON.stringify(object).length <= maxThorough;
    const validate = isSmall ? validators.thorough : validators.quick;
    const causes = validate(object) ? [] : (validate.errors ?? []).slice(0, maxFindings);
    return { object, unknownFields, causes: causes.map((error) => causeOf(error)) };
  };
}

function compile(schema: JsonSchema, allErrors: boolean): ValidateFunction {
  const ajv = new Ajv({
    allErrors,
    verbose: true,
    // Kubernetes' schemas have keywords and formats of their own.
    strict: false,
    logger: false,
    formats: {
      int32: { type: 'number', validate: (value: number) => Math.abs(value) <= 2 ** 31 },
      int64: { type: 'number', validate: (value: number) => Math.abs(value) <= 2 ** 63 },
      'date-time': /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/,
      byte: /^[A-Za-z0-9+/]*={0,2}$/,
    },
  });
  return ajv.compile({ ...schema, components: { schemas: metaSchemas } });
}

interface Walk {
  readonly path: readonly (string | number)[];
  readonly unknownFields: string[];
}

/** A copy of the fields that the schema knows. */
function known(value: unknown, reference: JsonSchema | undefined, walk: Walk): unknown {
  const schema = resolve(reference);
  if (Array.isArray(value)) {
    const items = schema?.['items'] as JsonSchema | undefined;
    return value.map((item, at) => known(item, items, { ...walk, path: [...walk.path, at] }));
  }
  if (!isJsonObject(value) || !schema) return value;
  const fields = Object.entries(value).flatMap(([name, field]): [string, unknown][] => {
    const path = [...walk.path, name];
    const inner = fieldSchema(schema, name);
    if (inner) return [[name, known(field, inner === true ? undefined : inner, { ...walk, path })]];
    if (walk.unknownFields.length < maxFindings) walk.unknownFields.push(pathText(path));
    return [];
  });
  return Object.fromEntries(fields);
}

/** True for a field of any shape, undefined for one that is not known. */
function fieldSchema(schema: JsonSchema, name: string): JsonSchema | true | undefined {
  const { properties = {}, additionalProperties } = schema;
  if (Object.hasOwn(properties, name)) return properties[name] ?? true;
  if (isJsonObject(additionalProperties)) return additionalProperties;
  if (additionalProperties === true || schema['x-kubernetes-preserve-unknown-fields'] === true) return true;
  // An object that says nothing of its fields may have any; one that names some has those alone.
  return schema.properties === undefined ? true : undefined;
}

/** What a reference, alone or with a description beside it, leads to. */
function resolve(schema: JsonSchema | undefined): JsonSchema | undefined {
  const { allOf } = schema ?? {};
  const target = Array.isArray(allOf) && allOf.length === 1 ? (allOf[0] as JsonSchema) : schema;
  const reference = target?.['$ref'];
  return typeof reference === 'string' ? metaSchemas[reference.replace('#/components/schemas/', '')] : target;
}

/** In the words in which kube-apiserver speaks of custom resources. */
function causeOf(error: ErrorObject): FieldCause {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((token) => (/^\d+$/.test(token) ? Number(token) : token));
  const { params, data } = error as { params: Record<string, unknown>; data: unknown };
  const field = pathText(path);
  const shown = shortened(data);
  switch (error.keyword) {
    case 'type': {
      const type = String(params['type']);
      const cause = fieldInvalid(
        field,
        typeName(data),
        `${field} in body must be of type ${type}: "${typeName(data)}"`,
      );
      return { ...cause, reason: 'FieldValueTypeInvalid' };
    }
    case 'required':
      return fieldRequired(pathText([...path, String(params['missingProperty'])]));
    case 'enum':
      return fieldNotSupported(field, String(shown), (params['allowedValues'] as unknown[]).map(String));
    default:
      return fieldInvalid(field, shown, `${field} in body ${error.message ?? 'is wrong'}`);
  }
}

const typeName = (value: unknown) =>
  value === null
    ? 'null'
    : Array.isArray(value)
      ? 'array'
      : Number.isInteger(value)
        ? 'integer'
        : typeof value;

function shortened(value: unknown): unknown {
  if (typeof value === 'string') return value.slice(0, 256);
  return typeof value === 'object' && value !== null ? typeName(value) : value;
}
