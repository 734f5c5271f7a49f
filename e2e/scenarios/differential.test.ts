import { beforeAll } from 'vitest';

import { type Comparison, describeComparison } from './differential-comparison.ts';
import { describeScenarios } from './world.ts';

await describeScenarios(
  'kubectl through the gateway does as at the cluster',
  (world) => {
    beforeAll(async () => {
      await Promise.all([
        world().startControllers('a'),
        world().register('admin', { cluster: 'a', credential: 'X509Certificate' }),
        world().register('limited', { cluster: 'a', credential: 'ServiceAccountToken', user: 'limited' }),
      ]);
    });
    describeComparison(() => {
      const { directory, hub, a } = world();
      const kubectl: Comparison['kubectl'] = (args, options) => world().kubectl(args, options);
      return { directory, hub, cluster: a, kubectl, kubectlThere: kubectl };
    });
  },
  { node: true },
);
