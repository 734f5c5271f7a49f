import { defineConfig } from 'vitest/config';

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
