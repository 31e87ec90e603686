import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Recipe } from '@amalgam/contracts';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { registerModels } from '../../apps/worker/test/models.js';
import { Stack } from '../../apps/worker/test/stack.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../libs/database/src/embedded.js';
import { expectOneSuccess, undisturbed } from './expectations.js';
import { killWorkers, WorkerProcess } from './worker-process.js';

// A server of its own, also when the other suites use the one that DATABASE_URL names: this one is restarted.
let dir: string;
vi.setConfig({ testTimeout: 120_000 }); // processes start slowly on a busy machine

let server: EmbeddedPostgres;
let stack: Stack;
let recipe: Recipe;
let weights: Record<string, string>;

const start = () => startEmbeddedPostgres({ dir, settings: { shared_buffers: '32MB' } });

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'amalgam-faults-postgres-'));
  await chmod(dir, 0o755); // as root the server runs as another user, who must be able to enter
  server = await start();
  stack = await Stack.open(server.url, { AMALGAM_THREADS: '1', AMALGAM_STALE_MS: '10000' });
  recipe = await registerModels(stack, { megabytes: 4, tensors: 16 });
  weights = await undisturbed(stack, () => stack.createMerge(recipe));
});
afterEach(killWorkers);
afterAll(async () => {
  await stack?.close();
  await server?.stop();
  await rm(dir, { recursive: true, force: true });
});

it('a restart of Postgres costs a merge not even an attempt', async () => {
  const worker = await WorkerProcess.start(stack.env);
  const id = await stack.createMerge(recipe);
  await stack.untilShards(id, 2);
  await server.stop();
  await sleep(1_000);
  server = await start();
  const merge = await patient(() => stack.untilFinal(id));
  await expectOneSuccess(stack, id, weights);
  expect(merge.attempts).toMatchObject([{ state: 'succeeded' }]);
  expect(worker.running).toBe(true);

  // Dispatcher, queue and heartbeat are back, too.
  const next = await stack.createMerge(recipe);
  await stack.untilFinal(next);
  await expectOneSuccess(stack, next, weights);
});

it('a worker ends when it is told to, also while Postgres is away', async () => {
  const worker = await WorkerProcess.start(stack.env);
  const id = await stack.createMerge(recipe);
  await stack.untilShards(id, 2);
  await server.stop();
  const asked = Date.now();
  worker.signal('SIGTERM');
  await worker.ended;
  expect(Date.now() - asked).toBeLessThan(45_000);
  server = await start();
  await WorkerProcess.start(stack.env);
  await patient(() => stack.untilFinal(id));
  await expectOneSuccess(stack, id, weights);
});

/** This process' own connections were cut as well. */
async function patient<T>(work: () => Promise<T>): Promise<T> {
  for (const deadline = Date.now() + 30_000; ; ) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(100);
    }
  }
}
