import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['libs/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/support/postgres-server.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Suites start real databases and worker threads; two at a time is what a small machine carries.
    maxWorkers: 2,
    pool: 'forks',
    // Packages are built before they are tested by others: Node loads them as they are, which costs half of a transformation.
    server: { deps: { external: [/\/(libs|apps)\/[^/]+\/dist\//] } },
  },
});
