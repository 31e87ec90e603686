import { copyFile, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Recipe } from '@amalgam/contracts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import type { RunningWorker } from '../src/index.js';
import { registerModels } from './models.js';
import { Stack } from './stack.js';

let server: TestDatabase;
let stack: Stack;
let worker: RunningWorker;
let recipe: Recipe;
beforeAll(async () => {
  server = await startTestDatabase();
  stack = await Stack.open(server.url, { AMALGAM_THREADS: '1' });
  recipe = await registerModels(stack, { megabytes: 8, tensors: 24 });
  worker = await stack.startWorker();
});
afterAll(async () => {
  await stack?.close();
  await server?.stop();
});

/** A merge that has stored two of its shards, and has many to go. */
async function halfway(): Promise<string> {
  const id = await stack.createMerge(recipe);
  await stack.untilShards(id, 2);
  return id;
}

it('a running merge stops soon after its cancellation and leaves no objects', async () => {
  const id = await halfway();
  const asked = Date.now();
  await stack.parts.database.control.requestCancel(stack.projectId, id);
  const merge = await stack.untilFinal(id);
  expect(merge).toMatchObject({ state: 'canceled', result: null, error: null, attempts: [{ state: 'canceled' }] });
  expect(Date.now() - asked).toBeLessThan(5_000);
  expect(await stack.keys(`results/${id}/`)).toEqual([]);
  expect(await stack.parts.database.prisma.mergeShard.count({ where: { mergeId: id } })).toBe(0);
  expect((await stack.events(id)).at(-1)?.type).toBe('merge.canceled');
  const left = await readdir(join(stack.home, 'scratch', worker.id));
  expect(left).toEqual([]);
});

it.each(['replaced', 'removed'])(
  'an input that is %s while it is read fails the merge, and nothing is kept',
  async (how) => {
    const id = await halfway();
    const path = join(stack.home, 'models', 'two.safetensors');
    await rename(path, `${path}.aside`);
    if (how === 'replaced') await copyFile(`${path}.aside`, path);
    const merge = await stack.untilFinal(id);
    await rename(`${path}.aside`, path);
    expect(merge).toMatchObject({ state: 'failed', error: { code: 'checkpoint_changed' }, result: null });
    expect(merge.error?.detail).toContain('two.safetensors');
    expect(await stack.keys(`results/${id}/`)).toEqual([]);
  },
);

it('a worker that is closed gives its merge to another one, which goes on with the finished shards', async () => {
  const id = await halfway();
  const asked = Date.now();
  await worker.close({ graceMs: 0 });
  expect(Date.now() - asked).toBeLessThan(5_000);
  expect(await stack.merge(id)).toMatchObject({ state: 'queued', attempts: [{ state: 'lost' }] });
  expect(await stack.parts.database.workers.listAlive(60_000)).toEqual([]);
  const stored = await stack.keys(`results/${id}/`);
  expect(stored.length).toBeGreaterThanOrEqual(2);
  const etags = await Promise.all(stored.map(async (key) => (await stack.parts.store.head(key))?.etag));

  const next = await stack.startWorker();
  const merge = await stack.untilFinal(id);
  expect(merge).toMatchObject({
    state: 'succeeded',
    attempts: [
      { state: 'lost', worker: worker.id },
      { state: 'succeeded', worker: next.id },
    ],
  });
  expect(await Promise.all(stored.map(async (key) => (await stack.parts.store.head(key))?.etag))).toEqual(etags);
});
