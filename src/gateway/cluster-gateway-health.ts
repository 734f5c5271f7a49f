import { z } from 'zod';
import type { ObjectSubresource, ResourceContext, WriteContext } from '../apiserver/resource.ts';
import { statusErrorOf } from '../apiserver/status-response.ts';
import type { ClusterHealth } from '../clusters/cluster.ts';
import type { HealthWriter } from '../clusters/health-write.ts';
import { checkResourceVersion } from '../kube/resource-version.ts';
import { StatusError, badRequest, fieldTooLong, invalid, modified, notFound } from '../kube/status.ts';
import { CLUSTER_GATEWAYS, GROUP } from './api-group.ts';
import { clusterGatewayFrom } from './cluster-gateway.ts';
import type { ClusterGateway } from './cluster-gateway.ts';

export interface HealthSubresourceOptions {
  /** As the resource itself gives it. */
  readonly get: (name: string, context: ResourceContext) => Promise<ClusterGateway | undefined>;
  readonly health: HealthWriter;
}

const resource = { group: GROUP, resource: CLUSTER_GATEWAYS };
/** Of the reason, in UTF-8: enough for the text of any error, and little enough for lists and for the hub's etcd. */
const maxReasonBytes = 16 * 1024;

/**
 * clustergateways/health: `status.healthy` and `status.healthyReason`, kept in the annotations of the cluster's Secret.
 * All else of what is written has no effect, but for `metadata.resourceVersion`, which must be the present one.
 */
export function createHealthSubresource({
  get,
  health,
}: HealthSubresourceOptions): ObjectSubresource<ClusterGateway> {
  return {
    type: 'object',
    name: 'health',
    description: 'What the last health check of the cluster found.',
    get,
    update: async (object, context) => {
      const { name } = object.metadata;
      const written = await health.write(name, writeOf(object, context)).catch((error: unknown) => {
        throw refusalOf(name, error);
      });
      if (written.type === 'unknown') throw notFound(resource, name);
      if (written.type === 'conflict') throw modified(resource, name);
      return clusterGatewayFrom(written.record, { showHealth: true, now: Date.now() });
    },
  };
}

function writeOf(object: ClusterGateway, { dryRun, signal }: WriteContext) {
  const { resourceVersion = '' } = object.metadata;
  if (resourceVersion !== '') checkResourceVersion(resourceVersion);
  // As kube-apiserver: neither asks for a state.
  const isAny = resourceVersion === '' || resourceVersion === '0';
  return { health: healthOf(object), resourceVersion: isAny ? undefined : resourceVersion, dryRun, signal };
}

/** What is left out is false and empty, as Go has it. */
const bodyShape = z.object({
  status: z.object({ healthy: z.boolean().nullish(), healthyReason: z.string().nullish() }).nullish(),
});

function healthOf(object: ClusterGateway): ClusterHealth {
  const read = bodyShape.safeParse(object);
  if (!read.success) {
    const fields = read.error.issues.map(({ path }) => path.join('.')).join(', ');
    throw badRequest(`these fields have values of a wrong type: ${fields}`);
  }
  const { healthy, healthyReason } = read.data.status ?? {};
  const reason = healthyReason ?? '';
  if (Buffer.byteLength(reason) > maxReasonBytes) {
    const cause = fieldTooLong('status.healthyReason', maxReasonBytes);
    throw invalid({ group: GROUP, kind: 'ClusterGateway' }, object.metadata.name, [cause]);
  }
  return { healthy: healthy ?? false, reason };
}

/**
 * What the caller is told when the hub does not take it. The hub's own text speaks of the gateway's account and of a
 * Secret, which are no business of the caller: it is the cause, for the log.
 */
function refusalOf(name: string, error: unknown): StatusError {
  const cluster = `cluster ${JSON.stringify(name)}`;
  const details = { name, group: GROUP, kind: CLUSTER_GATEWAYS };
  if (!(error instanceof StatusError)) {
    return statusErrorOf(error, { prefix: `the health of ${cluster} cannot be written at the hub`, details });
  }
  const { code } = error.status;
  if (code === 403) {
    const why = `the hub does not let the gateway patch the Secret of ${cluster}; its service account needs that verb`;
    return new StatusError('Forbidden', `the health cannot be written: ${why}`, { details, cause: error });
  }
  if (code === 400 || code === 422) {
    const why = `the hub does not take it for the Secret of ${cluster}`;
    return new StatusError('Invalid', `the health cannot be written: ${why}`, { details, cause: error });
  }
  // Busy, starting, or not knowing the gateway any more: all the same to the caller.
  return new StatusError('ServiceUnavailable', `the hub cannot be asked for ${cluster}`, {
    details,
    cause: error,
  });
}
