import type { AnyResource } from '../apiserver/resource.ts';
import type { Scope } from '../base/scope.ts';
import type { ClusterSecrets } from '../clusters/cluster-secrets.ts';
import { createHealthWriter } from '../clusters/health-write.ts';
import type { ClusterRegistry } from '../clusters/registry.ts';
import { createClusterGatewayResource } from '../gateway/cluster-gateway-resource.ts';
import { createVirtualClusterResource } from '../gateway/virtual-cluster-resource.ts';

export interface GatewayResourcesOptions {
  readonly registry: ClusterRegistry;
  readonly secrets: ClusterSecrets;
  /** The gate HealthinessCheck: the health of clusters is shown, and can be written. */
  readonly healthinessCheck: boolean;
  /** Ends what the resources hold. */
  readonly scope: Scope;
}

/** Everything that the gateway's API group offers. */
export function createGatewayResources(options: GatewayResourcesOptions): AnyResource[] {
  const { registry, secrets, healthinessCheck, scope } = options;
  const health = healthinessCheck ? createHealthWriter({ registry, secrets }) : undefined;
  return [
    scope.own(createClusterGatewayResource(registry, { health })),
    scope.own(createVirtualClusterResource(registry)),
  ];
}

/** `group/version/resource` and `group/version/resource/subresource` of all of them. */
export function namesOf(resources: readonly AnyResource[]): Set<string> {
  return new Set(
    resources.flatMap(({ group, version, plural, subresources = [] }) => {
      const name = `${group}/${version}/${plural}`;
      return [name, ...subresources.map((subresource) => `${name}/${subresource.name}`)];
    }),
  );
}
