import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import { requestClasses } from './in-flight.ts';
import type { InFlight, RequestClass } from './in-flight.ts';

/** kube-apiserver's bounds of its flow control's durations, seconds. */
const waitBuckets = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];

/**
 * The names of kube-apiserver (apiserver pkg/endpoints/metrics, pkg/util/flowcontrol/metrics). What is a priority level
 * there is a class of requests here.
 */
export function registerInFlightMetrics(registry: Registry, inFlight: InFlight): void {
  gauges(registry, inFlight);
  const rejected = new Counter({
    name: 'apiserver_flowcontrol_rejected_requests_total',
    help: 'Requests that got no place, by class and reason.',
    labelNames: ['priority_level', 'reason'],
    registers: [registry],
  });
  const waited = new Histogram({
    name: 'apiserver_flowcontrol_request_wait_duration_seconds',
    help: 'Time in the queue of the requests that had to wait, by whether they got a place.',
    labelNames: ['priority_level', 'execute'],
    buckets: waitBuckets,
    registers: [registry],
  });
  inFlight.observe({
    refused: (requestClass, reason) => rejected.inc({ priority_level: requestClass, reason }),
    waited: (requestClass, seconds, execute) =>
      waited.observe({ priority_level: requestClass, execute: String(execute) }, seconds),
  });
}

/** Those that kube-apiserver's own metrics of the same names count. */
const shortClasses = requestClasses.filter((each) => each !== 'longRunning');

function gauges(registry: Registry, inFlight: InFlight): void {
  const gauge = (
    classes: readonly RequestClass[],
    of: Readonly<Record<RequestClass, number>>,
    { name, help, label }: { name: string; help: string; label: string },
  ) =>
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [registry],
      collect() {
        for (const each of classes) this.set({ [label]: each }, of[each]);
      },
    });
  gauge(shortClasses, inFlight.counts, {
    name: 'apiserver_current_inflight_requests',
    help: 'Requests that are being answered, by kind.',
    label: 'request_kind',
  });
  gauge(shortClasses, inFlight.waiting, {
    name: 'apiserver_current_inqueue_requests',
    help: 'Requests that wait for a place, by kind.',
    label: 'request_kind',
  });
  gauge(requestClasses, inFlight.limits, {
    name: 'apiserver_flowcontrol_nominal_limit_seats',
    help: 'Places of each class; 0: no limit.',
    label: 'priority_level',
  });
  new Gauge({
    name: 'apiserver_longrunning_requests',
    help: 'Watches, upgrades and proxied streams that are open.',
    registers: [registry],
    collect() {
      this.set(inFlight.counts.longRunning);
    },
  });
}
