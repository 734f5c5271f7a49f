import { file, integer, only } from './flag.ts';
import type { Flag } from './flag.ts';
import { parseBoolean } from './go-values.ts';

/** What is told about the process and its requests. */
export const observabilityFlags = {
  'audit-log-path': {
    group: 'Observability',
    value: 'file',
    parse: file,
    help: 'Write audit.k8s.io/v1 events to this file, one JSON object a line; - for standard output; empty: none.',
  },
  'audit-policy-file': {
    group: 'Observability',
    value: 'file',
    parse: file,
    help: 'audit.k8s.io/v1 Policy: what is audited; without it everything but probes, at level Metadata.',
  },
  'audit-log-maxage': {
    group: 'Observability',
    value: 'days',
    default: '366',
    parse: integer(0, 100_000),
    help: 'Days after which a rotated audit log is removed; 0: never.',
  },
  'audit-log-maxbackup': {
    group: 'Observability',
    value: 'number',
    default: '100',
    parse: integer(0, 1_000_000),
    help: 'Rotated audit logs that are kept; 0: all.',
  },
  'audit-log-maxsize': {
    group: 'Observability',
    value: 'MiB',
    default: '100',
    parse: integer(0, 1_000_000),
    help: 'Size at which the audit log is rotated; 0: never.',
  },
  'audit-log-compress': {
    group: 'Observability',
    value: 'bool',
    default: 'false',
    parse: parseBoolean,
    help: 'Compress rotated audit logs with gzip.',
  },
  'audit-log-format': {
    group: 'Observability',
    value: 'format',
    default: 'json',
    parse: only('json', 'one JSON object a line is the one format'),
    help: 'json is the one format.',
  },
  'audit-log-mode': {
    group: 'Observability',
    value: 'mode',
    default: 'batch',
    parse: only('batch', 'no request waits for its audit event'),
    help: 'batch is the one mode: events are written behind the requests, and none waits for it.',
  },
  'audit-log-version': {
    group: 'Observability',
    value: 'version',
    default: 'audit.k8s.io/v1',
    parse: only('audit.k8s.io/v1', 'there is no other version'),
    hidden: true,
    help: 'Accepted for existing manifests; there is one version.',
  },
  v: {
    group: 'Observability',
    value: 'level',
    default: '0',
    parse: integer(0, 10),
    short: '-v',
    help: 'Verbosity: 0 to 3 information, 4 and more debugging.',
  },
  logtostderr: {
    group: 'Observability',
    value: 'bool',
    default: 'true',
    parse: parseBoolean,
    hidden: true,
    help: 'Accepted; logs always go to standard error.',
  },
} satisfies Record<string, Flag>;
