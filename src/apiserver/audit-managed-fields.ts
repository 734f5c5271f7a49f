/**
 * A copy of an object, of a list's items or of a Table's rows without `metadata.managedFields`, for
 * `omitManagedFields` of an audit policy. Shares everything else with the original.
 */
export function withoutManagedFields(object: unknown): unknown {
  if (!isFields(object)) return object;
  const { items, rows } = object;
  return {
    ...withoutOwn(object),
    ...(Array.isArray(items) ? { items: items.map((item: unknown) => withoutOwn(item)) } : {}),
    ...(Array.isArray(rows) ? { rows: rows.map((row: unknown) => withoutOfRow(row)) } : {}),
  };
}

function withoutOfRow(row: unknown): unknown {
  return isFields(row) && 'object' in row ? { ...row, object: withoutOwn(row.object) } : row;
}

function withoutOwn<T>(object: T): T | Record<string, unknown> {
  if (!isFields(object) || !isFields(object.metadata) || !('managedFields' in object.metadata)) return object;
  return { ...object, metadata: { ...object.metadata, managedFields: undefined } };
}

const isFields = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
