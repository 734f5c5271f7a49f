import { beforeAll } from 'vitest';

import { untilAnswered } from '../../scenarios/inner-authorization-rights.ts';
import { describeGateway, proxyPath } from '../../scenarios/registration-world.ts';
import { registerCluster } from '../../worlds/register.ts';
import { describeBodies, describeServiceAccount } from '../bodies.ts';
import { describeImpersonation } from '../impersonation.ts';
import { describeRequests } from '../requests.ts';
import { describeTenants } from '../tenants.ts';
import { createWitness } from '../witness.ts';

// What was broken in other proxies, tried on this one; what the cluster wrote in its audit log is the proof.
await describeGateway(
  'attacks',
  (world) => {
    beforeAll(async () => {
      const { kube, direct } = world();
      for (const name of ['a', 'b'] as const) {
        await registerCluster(kube, name, {
          ...{ cluster: kube[name], credential: 'X509Certificate' },
          ...{ user: `gateway-at-${name}`, groups: ['system:masters'] },
        });
        await untilAnswered(direct, proxyPath(name, '/version'), 200);
      }
    });

    const a = createWitness('a', () => world().kube.a);
    const b = createWitness('b', () => world().kube.b);
    describeImpersonation(world, a);
    describeTenants(world, a, b);
    describeRequests(world, a);
    describeBodies(world, a);
    describeServiceAccount(world);
  },
  { flags: ['--feature-gates=ClientIdentityPenetration=true,HealthinessCheck=true'] },
);
