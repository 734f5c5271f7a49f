import { collectDefaultMetrics } from 'prom-client';
import type { Registry } from 'prom-client';
import type { RequestInfo } from '../kube/request-info.ts';
import { createCounter, createHistogram } from './counted-series.ts';
import type { Count, Observations } from './counted-series.ts';
import { registerInFlightMetrics } from './in-flight-metrics.ts';
import type { InFlight } from './in-flight.ts';

/** kube-apiserver's own bounds for apiserver_request_duration_seconds. */
const durationBuckets = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];

/** A label's values must be bounded: whatever a caller makes up in a path is counted as one. */
const knownVerbs = new Set([
  'get',
  'list',
  'watch',
  'create',
  'update',
  'patch',
  'delete',
  'deletecollection',
  'head',
  'post',
  'put',
  'options',
]);

const resourceLabels = ['verb', 'group', 'version', 'resource', 'subresource', 'scope', 'component'] as const;

const authenticationResults = ['success', 'failure', 'error'] as const;
/** kube-apiserver's `no-opinion` is a refusal, as `denied`; the hub's answer does not always tell them apart. */
const authorizationResults = ['allowed', 'denied', 'error'] as const;

export interface RequestMetrics {
  readonly registry: Registry;
  observe(request: {
    info: RequestInfo | undefined;
    code: number;
    seconds: number;
    longRunning: boolean;
  }): void;
  countAuthentication(result: (typeof authenticationResults)[number]): void;
  countAuthorization(result: (typeof authorizationResults)[number]): void;
}

/** The names and labels of kube-apiserver where the meaning is the same (apiserver pkg/endpoints/metrics). */
export function createRequestMetrics(options: {
  registry: Registry;
  inFlight: InFlight;
  /** `group/version/resource` and `group/version/resource/subresource` that are served: others are not used as labels. */
  served: ReadonlySet<string>;
}): RequestMetrics {
  const { registry, inFlight } = options;
  collectDefaultMetrics({ register: registry });
  const total = createCounter({
    registry,
    name: 'apiserver_request_total',
    help: 'Requests by verb, resource and code.',
    labelNames: [...resourceLabels, 'code'],
  });
  const duration = createHistogram({
    registry,
    name: 'apiserver_request_duration_seconds',
    help: 'Time to the complete answer, without long-running requests.',
    labelNames: resourceLabels,
    buckets: durationBuckets,
  });
  const authentications = countResults(registry, authenticationResults, {
    name: 'authentication_attempts',
    help: 'Requests by the outcome of their authentication.',
  });
  const authorizations = countResults(registry, authorizationResults, {
    name: 'authorization_attempts_total',
    help: 'Requests by the outcome of their authorization.',
  });
  registerInFlightMetrics(registry, inFlight);
  const durations = new Map<string, Observations>();
  const durationOf = (labels: ReturnType<typeof labelsOf>): Observations => {
    const key = JSON.stringify(labels);
    const known = durations.get(key) ?? duration.series(labels);
    durations.set(key, known);
    return known;
  };
  const countersOf = (info: RequestInfo | undefined, code: number) => {
    const labels = labelsOf(info, options.served);
    return { total: total.series({ ...labels, code: String(code) }), duration: durationOf(labels) };
  };
  // By what requests say of themselves, so that no labels are made for them; of what is served only, or callers could
  // make it grow.
  const known = new Map<string, { readonly total: Count; readonly duration: Observations }>();
  const countersFor = (info: RequestInfo | undefined, code: number) => {
    if (!info?.isResourceRequest || !knownVerbs.has(info.verb)) return countersOf(info, code);
    const { verb, apiGroup, apiVersion, resource, subresource, name } = info;
    const scope = name === '' ? 'c' : 'r';
    const key = `${verb} ${code} ${scope} ${apiGroup}/${apiVersion}/${resource}/${subresource}`;
    const found = known.get(key);
    if (found) return found;
    const counters = countersOf(info, code);
    if (options.served.has(servedName(info))) known.set(key, counters);
    return counters;
  };
  return {
    registry,
    observe: ({ info, code, seconds, longRunning }) => {
      const counters = countersFor(info, code);
      counters.total.inc();
      if (!longRunning) counters.duration.observe(seconds);
    },
    countAuthentication: (result) => authentications[result].inc(),
    countAuthorization: (result) => authorizations[result].inc(),
  };
}

/** One counter for each result: nothing is looked up in a request. */
function countResults<Result extends string>(
  registry: Registry,
  results: readonly Result[],
  { name, help }: { name: string; help: string },
): Record<Result, Count> {
  const counter = createCounter({ registry, name, help, labelNames: ['result'] });
  return Object.fromEntries(results.map((result) => [result, counter.series({ result })])) as Record<
    Result,
    Count
  >;
}

const servedName = ({ apiGroup, apiVersion, resource, subresource }: RequestInfo) =>
  [apiGroup, apiVersion, resource, subresource].filter((part) => part !== '').join('/');

function labelsOf(info: RequestInfo | undefined, served: ReadonlySet<string>) {
  const verb = info && knownVerbs.has(info.verb) ? info.verb.toUpperCase() : 'OTHER';
  const known = info?.isResourceRequest === true && served.has(servedName(info));
  return {
    verb,
    group: known ? info.apiGroup : '',
    version: known ? info.apiVersion : '',
    resource: known ? info.resource : '',
    subresource: known ? info.subresource : '',
    scope: known ? (info.name ? 'resource' : 'cluster') : '',
    component: 'apiserver',
  };
}
