import { Counter, Histogram, collectDefaultMetrics } from 'prom-client';
import type { Registry } from 'prom-client';
import type { RequestInfo } from '../kube/request-info.ts';
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
  const labelNames = [
    'verb',
    'group',
    'version',
    'resource',
    'subresource',
    'scope',
    'component',
    'code',
  ] as const;
  const total = new Counter({
    name: 'apiserver_request_total',
    help: 'Requests by verb, resource and code.',
    labelNames,
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'apiserver_request_duration_seconds',
    help: 'Time to the complete answer, without long-running requests.',
    labelNames: labelNames.slice(0, -1),
    buckets: durationBuckets,
    registers: [registry],
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
  const children = new Map<string, { total: Counter.Internal; duration: Histogram.Internal<string> }>();
  const childFor = (info: RequestInfo | undefined, code: number) => {
    const labels = labelsOf(info, options.served);
    const key = `${labels.verb} ${labels.group}/${labels.version}/${labels.resource}/${labels.subresource}/${labels.scope} ${code}`;
    let child = children.get(key);
    if (!child) {
      child = { total: total.labels({ ...labels, code: String(code) }), duration: duration.labels(labels) };
      children.set(key, child);
    }
    return child;
  };
  return {
    registry,
    observe: ({ info, code, seconds, longRunning }) => {
      const child = childFor(info, code);
      child.total.inc();
      if (!longRunning) child.duration.observe(seconds);
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
): Record<Result, Counter.Internal> {
  const counter = new Counter({ name, help, labelNames: ['result'], registers: [registry] });
  return Object.fromEntries(results.map((result) => [result, counter.labels({ result })])) as Record<
    Result,
    Counter.Internal
  >;
}

function labelsOf(info: RequestInfo | undefined, served: ReadonlySet<string>) {
  const verb = info && knownVerbs.has(info.verb) ? info.verb.toUpperCase() : 'OTHER';
  const name = info
    ? [info.apiGroup, info.apiVersion, info.resource, info.subresource]
        .filter((part) => part !== '')
        .join('/')
    : '';
  const known = info?.isResourceRequest === true && served.has(name);
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
