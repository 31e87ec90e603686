import { setTimeout as sleep } from 'node:timers/promises';
import { isFinal, type Recipe } from '@amalgam/contracts';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { registerModels } from '../../apps/worker/test/models.js';
import { Stack } from '../../apps/worker/test/stack.js';
import { startTestDatabase, type TestDatabase } from '../support/postgres.js';
import { expectNothingHalf, expectOneSuccess, undisturbed } from './expectations.js';
import { killWorkers, WorkerPool } from './worker-process.js';

const KILLS = 2;

vi.setConfig({ testTimeout: 120_000 }); // processes start slowly on a busy machine

let server: TestDatabase;
let stack: Stack;
let recipe: Recipe;
let weights: Record<string, string>;
let pool: WorkerPool;
beforeAll(async () => {
  server = await startTestDatabase();
  stack = await Stack.open(server.url, { AMALGAM_STALE_MS: '1000', AMALGAM_MAX_ATTEMPTS: '20' });
  recipe = await registerModels(stack, { megabytes: 1, tensors: 6 });
  weights = await undisturbed(stack, () => stack.createMerge(recipe));
  pool = new WorkerPool(stack.env, 2);
});
afterAll(async () => {
  await killWorkers();
  await stack?.close();
  await server?.stop();
});

/** Numbers from 0 to 1 that a seed determines. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

it.each([1, 2, 3, 4])(
  'killed around publishing, again and again, a merge ends once and whole (seed %i)',
  async (seed) => {
    const next = random(seed);
    await pool.fill();
    const id = await stack.createMerge(recipe);
    for (let kills = 0; kills < KILLS; ) {
      const merge = await stack.until(id, ({ state, progress }) => isFinal(state) || progress.stage === 'publishing');
      if (isFinal(merge.state)) break;
      await sleep(next() * 60);
      const holder = pool.find(merge.attempts.at(-1)?.worker);
      if (holder === undefined) continue;
      await holder.kill();
      kills++;
      void pool.fill();
      await expectNothingHalf(stack, id);
    }
    const merge = await stack.untilFinal(id);
    await expectOneSuccess(stack, id, weights);
    expect(merge.attempts.slice(0, -1).every(({ state }) => state === 'lost')).toBe(true);
  },
);
