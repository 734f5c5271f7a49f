import { text } from './flag.ts';
import type { Flag } from './flag.ts';
import { parseBoolean } from './go-values.ts';
import { observabilityFlags } from './observability-flags.ts';

const accepted = { group: 'Observability', parse: text, hidden: true } as const;
const acceptedBoolean = { ...accepted, value: 'bool', default: 'false', parse: parseBoolean } as const;
const help = 'Accepted; logs always go to standard error.';

/** klog's flags, as the Go programs have them: the verbosity counts, the others are accepted for existing manifests. */
export const klogFlags = {
  v: observabilityFlags.v,
  logtostderr: observabilityFlags.logtostderr,
  alsologtostderr: { ...acceptedBoolean, help },
  'add-dir-header': { ...acceptedBoolean, help },
  'one-output': { ...acceptedBoolean, help },
  'skip-headers': { ...acceptedBoolean, help },
  'skip-log-headers': { ...acceptedBoolean, help },
  'log-backtrace-at': { ...accepted, value: 'place', help },
  'log-dir': { ...accepted, value: 'directory', help },
  'log-file': { ...accepted, value: 'file', help },
  'log-file-max-size': { ...accepted, value: 'MiB', help },
  stderrthreshold: { ...accepted, value: 'severity', help },
  vmodule: { ...accepted, value: 'patterns', help },
} satisfies Record<string, Flag>;
