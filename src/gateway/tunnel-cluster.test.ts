import { expect, test } from 'vitest';
import { clusterFromSecret } from '../clusters/secret-cluster.ts';
import { secretFrom } from '../clusters/secret.ts';
import { secret, tokenLabels } from '../clusters/testing/secrets-hub.ts';
import { clusterGatewayFrom } from './cluster-gateway.ts';
import { virtualClusterFrom } from './virtual-cluster.ts';

const behindTunnel = (allowUnverified: boolean) =>
  clusterFromSecret(
    secretFrom(
      secret('cluster1', '1', {
        labels: { ...tokenLabels, 'cluster.core.oam.dev/cluster-endpoint-type': 'ClusterProxy' },
      }),
    ),
    { requireCa: false, execPluginAllowlist: [], tunnel: { allowUnverified } },
  );

test.each([true, false])(
  'a cluster behind a tunnel is shown by the type of its endpoint alone: %s',
  (accepted) => {
    const record = behindTunnel(accepted);
    const shown = clusterGatewayFrom(record, { showHealth: false, now: 0 });
    expect(shown.spec.access.endpoint).toEqual({ type: 'ClusterProxy' });
    expect(virtualClusterFrom(record)?.spec).toMatchObject({ endpoint: 'ClusterProxy', accepted });
    const conditions = shown.status.conditions.map(
      ({ type, status, reason }) => `${type}=${status} ${reason}`,
    );
    if (accepted) expect(conditions).toEqual(['Accepted=True Valid', 'ServerVerified=False NoCA']);
    else expect(conditions).toEqual(['Accepted=False MissingCA']);
  },
);
