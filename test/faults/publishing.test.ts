import { setTimeout as sleep } from 'node:timers/promises';
import { isFinal, type Recipe } from '@amalgam/contracts';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { registerModels } from '../../apps/worker/test/models.js';
import { Stack } from '../../apps/worker/test/stack.js';
import { startTestDatabase, type TestDatabase } from '../support/postgres.js';
import { expectNothingHalf, expectOneSuccess, undisturbed } from './expectations.js';
import { killWorkers, WorkerProcess } from './worker-process.js';

const KILLS = 2;

let server: TestDatabase;
let stack: Stack;
let recipe: Recipe;
let weights: Record<string, string>;
beforeAll(async () => {
  server = await startTestDatabase();
  stack = await Stack.open(server.url, { AMALGAM_STALE_MS: '1000', AMALGAM_MAX_ATTEMPTS: '20' });
  recipe = await registerModels(stack, { megabytes: 1, tensors: 6 });
  weights = await undisturbed(stack, () => stack.createMerge(recipe));
});
afterEach(killWorkers);
afterAll(async () => {
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

it.each([1, 2, 3, 4, 5, 6])(
  'killed around publishing, again and again, a merge ends once and whole (seed %i)',
  async (seed) => {
    const next = random(seed);
    let workers = await Promise.all([0, 1].map(() => WorkerProcess.start(stack.env)));
    const id = await stack.createMerge(recipe);
    for (let kills = 0; kills < KILLS; ) {
      const merge = await stack.until(id, ({ state, progress }) => isFinal(state) || progress.stage === 'publishing');
      if (isFinal(merge.state)) break;
      await sleep(next() * 60);
      const owner = merge.attempts.at(-1)?.worker;
      const holder = workers.find((worker) => worker.is(owner));
      if (holder === undefined) continue;
      await holder.kill();
      kills++;
      await expectNothingHalf(stack, id);
      workers = [...workers.filter((worker) => worker !== holder), await WorkerProcess.start(stack.env)];
    }
    const merge = await stack.untilFinal(id);
    await expectOneSuccess(stack, id, weights);
    expect(merge.attempts.slice(0, -1).every(({ state }) => state === 'lost')).toBe(true);
  },
);
