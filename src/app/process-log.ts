import { destination, pino, stdSerializers } from 'pino';
import type { Log } from '../base/log.ts';

/** JSON lines on standard error; `verbosity` as klog has it: debugging from 4 on. */
export function createLog(verbosity: number): Log {
  return pino(
    {
      level: verbosity >= 4 ? 'debug' : 'info',
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
      serializers: { err: stdSerializers.err },
      // Should a header object ever get here, what proves an identity does not.
      redact: {
        paths: ['headers.authorization', 'headers.cookie', '*.authorization', '*.token', '*.privateKeyPem'],
        censor: '[redacted]',
      },
    },
    destination({ dest: 2, sync: true }),
  );
}
