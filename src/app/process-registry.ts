import { Registry, collectDefaultMetrics } from 'prom-client';

/** Metrics of a process of its own: memory, CPU and files under the names that Go's programs have, and the event loop's lag. */
export function createProcessRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}
