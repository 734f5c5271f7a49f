import type { ObjectMeta } from './object-meta.ts';
import type { FieldCause } from './status.ts';
import { fieldInvalid, fieldRequired } from './status.ts';

const subdomain = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const qualifiedName = /^(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

const subdomainText =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/** Bytes of all keys and values (apimachinery api/validation). */
const maxAnnotations = 256 * 1024;

/**
 * What is wrong with an object's name, labels and annotations by the rules that all kinds share. The types of its
 * fields were checked before. Regular expressions see bounded texts only.
 */
export function checkObjectMeta(metadata: ObjectMeta): FieldCause[] {
  const { name = '', labels = {}, annotations = {} } = metadata as Partial<ObjectMeta>;
  return [
    ...nameCauses(name),
    ...Object.entries(labels).flatMap(([key, value]) => [
      ...keyCauses('metadata.labels', key),
      ...(isLabelValue(value)
        ? []
        : [
            fieldInvalid(
              'metadata.labels',
              value.slice(0, 256),
              "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', of at most 63 characters",
            ),
          ]),
    ]),
    ...Object.keys(annotations).flatMap((key) => keyCauses('metadata.annotations', key.toLowerCase())),
    ...annotationsSize(annotations),
  ];
}

function nameCauses(name: string): FieldCause[] {
  if (name === '') return [fieldRequired('metadata.name', 'name or generateName is required')];
  if (name.length > 253)
    return [fieldInvalid('metadata.name', name.slice(0, 256), 'must be no more than 253 characters')];
  return subdomain.test(name) ? [] : [fieldInvalid('metadata.name', name, subdomainText)];
}

const isLabelValue = (value: string) => value === '' || (value.length <= 63 && qualifiedName.test(value));

function keyCauses(field: string, key: string): FieldCause[] {
  const [name = '', prefix, excess] = key.split('/', 3).length > 1 ? reversed(key) : [key];
  const isName = name.length <= 63 && qualifiedName.test(name);
  const isPrefix = prefix === undefined || (prefix.length <= 253 && subdomain.test(prefix));
  if (isName && isPrefix && excess === undefined) return [];
  return [
    fieldInvalid(
      field,
      key.slice(0, 256),
      "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character, with an optional DNS subdomain prefix and '/'",
    ),
  ];
}

function reversed(key: string): (string | undefined)[] {
  const [prefix, name, excess] = key.split('/', 3);
  return [name, prefix, excess];
}

function annotationsSize(annotations: Readonly<Record<string, string>>): FieldCause[] {
  let size = 0;
  for (const [key, value] of Object.entries(annotations))
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  if (size <= maxAnnotations) return [];
  return [
    {
      reason: 'FieldValueTooLong',
      message: `Too long: may not be more than ${maxAnnotations} bytes`,
      field: 'metadata.annotations',
    },
  ];
}
