import { setTimeout as sleep } from 'node:timers/promises';
import type { MergeStage, Recipe } from '@amalgam/contracts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { registerModels } from '../../apps/worker/test/models.js';
import { Stack } from '../../apps/worker/test/stack.js';
import { startTestDatabase, type TestDatabase } from '../support/postgres.js';
import { expectOneSuccess, undisturbed } from './expectations.js';
import { killWorkers, WorkerPool, WorkerProcess } from './worker-process.js';

vi.setConfig({ testTimeout: 120_000 }); // processes start slowly on a busy machine

let server: TestDatabase;
let stack: Stack;
let recipe: Recipe;
let weights: Record<string, string>;
let pool: WorkerPool;
beforeAll(async () => {
  server = await startTestDatabase();
  stack = await Stack.open(server.url, { AMALGAM_THREADS: '1' });
  recipe = await registerModels(stack, { megabytes: 4, tensors: 16 });
  weights = await undisturbed(stack, () => stack.createMerge(recipe));
  pool = new WorkerPool(stack.env, 2);
});
afterAll(async () => {
  await killWorkers();
  await stack?.close();
  await server?.stop();
});

/** Two workers, and a merge that one of them has begun and stored two shards of. */
async function halfway(workers: WorkerProcess[]) {
  const id = await stack.createMerge(recipe);
  await stack.untilShards(id, 2);
  const owner = (await stack.merge(id)).attempts[0]?.worker;
  const holder = workers.find((worker) => worker.is(owner))!;
  const other = workers.find((worker) => worker !== holder)!;
  return { id, holder, other };
}

async function storedEtags(id: string): Promise<Map<string, string | undefined>> {
  const shards = await stack.parts.database.prisma.mergeShard.findMany({ where: { mergeId: id } });
  const etags = new Map<string, string | undefined>();
  for (const { key } of shards) etags.set(key, (await stack.parts.store.head(key))?.etag);
  return etags;
}

describe('a worker that is killed in the middle of a merge', () => {
  it('costs an attempt and nothing else', async () => {
    const { id, holder, other } = await halfway(await pool.fill());
    await holder.kill();
    const stored = await storedEtags(id);
    const merge = await stack.untilFinal(id);
    await expectOneSuccess(stack, id, weights);
    expect(merge.attempts.map(({ state }) => state)).toEqual(['lost', 'succeeded']);
    expect(other.is(merge.attempts[1]?.worker)).toBe(true);
    expect(stored.size).toBeGreaterThanOrEqual(2);
    // What it had finished was used, not made again.
    for (const [key, etag] of stored) expect((await stack.parts.store.head(key))?.etag).toBe(etag);
  });
});

describe('a worker that is told to stop', () => {
  // These workers have settings of their own, and must be alone.
  beforeAll(() => pool.kill());
  const start = (env: Record<string, string>) => WorkerProcess.start({ ...stack.env, ...env });

  it('gives its merge back at once, and ends', async () => {
    const { id, holder, other } = await halfway(
      await Promise.all([0, 1].map(() => start({ AMALGAM_STALE_MS: '60000' }))),
    );
    const asked = Date.now();
    holder.signal('SIGTERM');
    expect(await holder.ended).toBe(0);
    expect(Date.now() - asked).toBeLessThan(5_000);
    const merge = await stack.untilFinal(id, 30_000);
    await expectOneSuccess(stack, id, weights);
    expect(merge.attempts).toMatchObject([{ state: 'lost', error: { detail: 'the worker was stopped' } }, {}]);
    expect(other.is(merge.attempts[1]?.worker)).toBe(true);
    await other.kill();
  });

  it('may finish its merge when it has the time', async () => {
    const { id, holder } = await halfway([await start({ AMALGAM_GRACE_MS: '60000' })]);
    holder.signal('SIGINT');
    expect(await holder.ended).toBe(0);
    expect((await stack.merge(id)).attempts.map(({ state }) => state)).toEqual(['succeeded']);
    await expectOneSuccess(stack, id, weights);
  });
});

describe('a worker that freezes, is taken over from, and wakes up', () => {
  it.each<MergeStage>(['merging', 'publishing'])('cannot publish a second time (%s)', async (stage) => {
    const { id, holder, other } = await halfway(await pool.fill());
    await stack.until(id, ({ progress }) => progress.stage === stage);
    holder.signal('SIGSTOP');
    const merge = await stack.untilFinal(id);
    // It may have been quicker than the signal when it was about to publish anyway.
    const frozenInTime = other.is(merge.attempts.at(-1)?.worker);
    if (stage === 'merging') expect(frozenInTime).toBe(true);
    await expectOneSuccess(stack, id, weights);
    const before = await stack.events(id);

    holder.signal('SIGCONT');
    await sleep(2_000);
    await expectOneSuccess(stack, id, weights);
    expect(await stack.events(id)).toEqual(before);
    if (frozenInTime) expect(holder.output).toContain('the claim was lost');
    // It goes on as a worker.
    await other.kill();
    const next = await stack.createMerge(recipe);
    await stack.untilFinal(next);
    expect(holder.is((await stack.merge(next)).attempts[0]?.worker)).toBe(true);
    await expectOneSuccess(stack, next, weights);
  });
});
