import { X509Certificate } from 'node:crypto';
import { Failure } from '../../base/failure.ts';

/**
 * Adds to a failure of a connection that our own certificate is out of its dates by our own clock, where it is: in TLS 1.3 a
 * server refuses it behind our handshake (RFC 8446 §4.4.3), and not every one says why.
 */
export function withOwnDates(error: unknown, certificatePem: string | undefined, now: Date): unknown {
  if (!(error instanceof Failure) || certificatePem === undefined) return error;
  const problem = datesProblem(new X509Certificate(certificatePem), now);
  if (problem === undefined) return error;
  return new Failure('untrusted', `${error.message}: ${problem}`, { cause: error.cause });
}

/** RFC 5280 §4.1.2.5: both ends are within the validity. */
function datesProblem({ validFromDate, validToDate }: X509Certificate, now: Date): string | undefined {
  if (now > validToDate)
    return `our own certificate has expired at ${validToDate.toISOString()}, and it is ${now.toISOString()}`;
  if (now < validFromDate)
    return `our own certificate is not valid before ${validFromDate.toISOString()}, and it is ${now.toISOString()}`;
  return undefined;
}
