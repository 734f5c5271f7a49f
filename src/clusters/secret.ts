import { z } from 'zod';
import { Redacted } from '../base/redacted.ts';
import type { ObjectMeta } from '../kube/object-meta.ts';

/** A Kubernetes Secret as far as clusters need it; its values print as [redacted]. */
export interface Secret {
  readonly metadata: ObjectMeta;
  readonly data: Readonly<Record<string, Redacted<string>>>;
}

const strings = z.record(z.string(), z.string());
const secretShape = z.object({
  metadata: z.object({
    name: z.string().min(1),
    namespace: z.string().optional(),
    uid: z.string().optional(),
    resourceVersion: z.string().optional(),
    creationTimestamp: z.string().nullish(),
    labels: strings.nullish(),
    annotations: strings.nullish(),
  }),
  data: strings.nullish(),
});

/** Reads a Secret of the hub; throws when it is none. Values are decoded from base64 as UTF-8. */
export function secretFrom(value: unknown): Secret {
  const { metadata, data } = secretShape.parse(value);
  const { labels, annotations, creationTimestamp, ...rest } = metadata;
  return {
    metadata: dropUndefined({
      ...rest,
      labels: labels ?? {},
      annotations: annotations ?? {},
      creationTimestamp: creationTimestamp ?? undefined,
    }),
    data: Object.fromEntries(
      Object.entries(data ?? {}).map(([key, encoded]) => [
        key,
        new Redacted(Buffer.from(encoded, 'base64').toString('utf8')),
      ]),
    ),
  };
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

function dropUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Defined<T>;
}
