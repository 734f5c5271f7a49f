import { META, described, metaSchemas, reference, typeMetaProperties } from './openapi-meta.ts';
import type { Schemas } from './openapi-meta.ts';
import type { Operation, Parameter } from './openapi-operation.ts';
import { definitionName, kindOf } from './openapi-operation.ts';
import { operationsOf } from './openapi-operations.ts';
import type { AnyResource, JsonSchema } from './resource.ts';
import type { GroupVersionResources } from './resource-names.ts';

/** Stands in `info.version` of both documents. */
const info = (version: string) => ({ title: 'Kubernetes', version });

/** GET /openapi/v3/apis/<group>/<version>. */
export function openApiV3(groupVersion: GroupVersionResources, version: string): object {
  return {
    openapi: '3.0.0',
    info: info(version),
    paths: pathsOf(operationsOf(groupVersion), (operation) => ({
      description: operation.description,
      operationId: operation.id,
      ...extensionsOf(operation),
      parameters: operation.parameters.map(({ type, name, description, ...place }: Parameter) => ({
        ...placed(place.in, name, description),
        schema: { type, uniqueItems: true },
      })),
      ...(operation.body
        ? {
            requestBody: {
              content: contentOf(operation.body.mediaTypes, operation.body.schema),
              ...(operation.body.required ? { required: true } : {}),
            },
          }
        : {}),
      responses: responsesOf(operation, { content: contentOf(operation.mediaTypes, operation.answer) }),
    })),
    components: { schemas: schemasOf(groupVersion) },
  };
}

/** GET /openapi/v2: all groups and versions in one Swagger document. */
export function openApiV2(groupVersions: readonly GroupVersionResources[], version: string): object {
  const schemas = Object.assign({}, ...groupVersions.map(schemasOf)) as Schemas;
  return {
    swagger: '2.0',
    info: info(version),
    paths: pathsOf(groupVersions.flatMap(operationsOf), (operation) => ({
      description: operation.description,
      operationId: operation.id,
      consumes: operation.body?.mediaTypes ?? ['*/*'],
      produces: operation.mediaTypes,
      schemes: ['https'],
      ...extensionsOf(operation),
      parameters: [
        ...operation.parameters.map(({ type, name, description, ...place }: Parameter) => ({
          ...placed(place.in, name, description),
          type,
          uniqueItems: true,
        })),
        ...(operation.body ? [bodyParameter(operation.body)] : []),
      ],
      responses: responsesOf(operation, {
        schema: operation.answer === undefined ? { type: 'string' } : toV2(reference(operation.answer)),
      }),
    })),
    definitions: Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, toV2(schema)])),
  };
}

const answers = { '200': 'OK', '201': 'Created', '202': 'Accepted' } as const;

/** The same shape for each code of an answer with an object. */
const responsesOf = ({ codes = ['200'] }: Operation, shape: object) => ({
  ...Object.fromEntries(codes.map((code) => [code, { description: answers[code], ...shape }])),
  '401': { description: 'Unauthorized' },
});

const contentOf = (mediaTypes: readonly string[], schema: string | undefined) =>
  Object.fromEntries(
    mediaTypes.map((mediaType) => [
      mediaType,
      { schema: schema === undefined ? { type: 'string' } : reference(schema) },
    ]),
  );

const bodyParameter = ({ schema, required }: NonNullable<Operation['body']>) => ({
  name: 'body',
  in: 'body',
  schema: toV2(reference(schema)),
  ...(required ? { required: true } : {}),
});

const placed = (place: Parameter['in'], name: string, description: string) => ({
  name,
  in: place,
  description,
  ...(place === 'path' ? { required: true } : {}),
});

/** kubectl finds by these what an operation does, and to what. */
function extensionsOf({ action, kind }: Operation): object {
  return {
    tags: kind ? [`${kind.group.replaceAll(/[.-]/g, '_')}_${kind.version}`] : [],
    ...(action === undefined ? {} : { 'x-kubernetes-action': action }),
    ...(kind ? { 'x-kubernetes-group-version-kind': kind } : {}),
  };
}

function pathsOf(operations: readonly Operation[], write: (operation: Operation) => object): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of operations) {
    (paths[operation.path] ??= {})[operation.method] = write(operation);
  }
  return paths;
}

function schemasOf({ resources }: GroupVersionResources): Schemas {
  const own = resources.flatMap((resource) => [
    [definitionName(resource), objectSchema(resource)] as const,
    ...(resource.list ? [[`${definitionName(resource)}List`, listSchema(resource)] as const] : []),
  ]);
  return { ...Object.fromEntries(own), ...metaSchemas };
}

/** Of whole objects, as they are described, and as they are checked. */
export function objectSchema(resource: AnyResource): JsonSchema {
  const { properties, ...schema } = resource.schema;
  return {
    ...schema,
    type: 'object',
    properties: {
      ...typeMetaProperties,
      metadata: described(`${META}.ObjectMeta`, "The object's metadata.", { default: {} }),
      ...properties,
    },
    'x-kubernetes-group-version-kind': [kindOf(resource)],
  };
}

function listSchema(resource: AnyResource): JsonSchema {
  return {
    type: 'object',
    description: `A list of objects of kind ${resource.kind}.`,
    properties: {
      ...typeMetaProperties,
      items: {
        type: 'array',
        description: 'The objects.',
        items: { ...described(definitionName(resource), ''), default: {} },
      },
      metadata: described(`${META}.ListMeta`, "The list's metadata.", { default: {} }),
    },
    required: ['items'],
    'x-kubernetes-group-version-kind': [{ ...kindOf(resource), kind: `${resource.kind}List` }],
  };
}

/** What Swagger 2.0 does not know is left out, as kube-apiserver does with custom resources. */
const v3Only = new Set(['nullable', 'oneOf', 'anyOf', 'not', 'default']);

function toV2(schema: JsonSchema): JsonSchema {
  return convert(schema) as JsonSchema;
}

function convert(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(convert);
  if (typeof value !== 'object' || value === null) return value;
  const converted: Record<string, unknown> = {};
  for (const [keyword, part] of Object.entries(value)) {
    // Property names are data, not keywords.
    if (keyword === 'properties') converted[keyword] = mapValues(part as object, convert);
    else if (keyword === '$ref')
      converted[keyword] = String(part).replace('#/components/schemas/', '#/definitions/');
    else if (keyword === 'allOf' && Array.isArray(part) && part.length === 1)
      Object.assign(converted, convert(part[0]));
    else if (!v3Only.has(keyword)) converted[keyword] = convert(part);
  }
  return converted;
}

const mapValues = (object: object, map: (value: unknown) => unknown) =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value)]));
