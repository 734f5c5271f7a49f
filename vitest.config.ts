import { configDefaults, defineConfig } from 'vitest/config';

/**
 * ENDPOINT=tunnel has worlds lead to their clusters through a tunnel: without the tests that have a tunnel of their own anyway, and
 * those that ask no cluster for anything.
 */
const notThroughTunnel = [
  'e2e/scenarios/tunnel-*.test.ts',
  'e2e/scenarios/tls.test.ts',
  'e2e/scenarios/widgets.test.ts',
  'e2e/worlds/**/*.test.ts',
];

// `unit` is everything that needs no more than Node; `scenarios` needs real Kubernetes (see CONTRIBUTING.md).
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            'src/**/*.test.ts',
            'e2e/kube/**/*.test.ts',
            'e2e/conformance/**/*.test.ts',
            'e2e/versions/**/*.test.ts',
            'e2e/fuzz/*.test.ts',
            'e2e/attacks/*.test.ts',
            'e2e/soak/*.test.ts',
            'bench/**/*.test.ts',
          ],
          // Processes, not threads: signals, file handles and --max-http-header-size belong to a process.
          pool: 'forks',
          testTimeout: 20_000,
          hookTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'scenarios',
          include: [
            'e2e/scenarios/**/*.test.ts',
            'e2e/fuzz/world/*.test.ts',
            'e2e/attacks/world/*.test.ts',
            'e2e/worlds/**/*.test.ts',
          ],
          exclude: [
            ...configDefaults.exclude,
            ...(process.env['ENDPOINT'] === 'tunnel' ? notThroughTunnel : []),
          ],
          pool: 'forks',
          // Real control planes: two cores carry one world at a time.
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 1_500_000,
        },
      },
    ],
  },
});
