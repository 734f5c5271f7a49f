import { Registry } from 'prom-client';
import { silentLog } from '../../base/log.ts';
import { ANONYMOUS } from '../../kube/user-info.ts';
import { createAdmission } from '../admission.ts';
import type { AdmissionOptions } from '../admission.ts';
import type { Exchange } from '../exchange.ts';
import { createInFlight, defaultInFlightLimits } from '../in-flight.ts';
import { createRequestMetrics } from '../metrics.ts';

/** The way in, which lets everybody do everything; anonymous callers unless told. */
export function admitting(
  handle: (exchange: Exchange) => void,
  authenticate: AdmissionOptions['authenticate'] = () =>
    Promise.resolve({ user: ANONYMOUS, frontProxy: false }),
): (exchange: Exchange) => void {
  const inFlight = createInFlight(defaultInFlightLimits);
  return createAdmission({
    authenticate,
    authorizer: { authorize: () => undefined, check: () => undefined },
    inFlight,
    metrics: createRequestMetrics({ registry: new Registry(), inFlight, served: new Set() }),
    audit: undefined,
    route: () => ({ requestClass: 'readOnly', handle }),
    log: silentLog,
  });
}
