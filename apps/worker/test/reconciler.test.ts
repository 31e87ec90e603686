import { ASSET_KINDS, type Recipe } from '@amalgam/contracts';
import { newId } from '@amalgam/database';
import { assetPrefix } from '@amalgam/runtime';
import { newSecret } from '@amalgam/webhooks';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import type { RunningWorker } from '../src/index.js';
import { startReceiver } from './receiver.js';
import { Stack, ZOO } from './stack.js';

const GRACES = { dispatchMs: 200, orphansMs: 300, orphansEveryMs: 0 };

let server: TestDatabase;
let stack: Stack;
let recipe: Recipe;
let worker: RunningWorker | undefined;
beforeAll(async () => {
  server = await startTestDatabase();
  stack = await Stack.open(server.url);
  const base = await stack.register('base', `${ZOO}base.safetensors`);
  const digits = await stack.register('digits', `${ZOO}digits.safetensors`);
  recipe = { method: 'ties', base: base.id, models: [{ model: digits.id }] };
});
afterEach(async () => {
  await worker?.close();
  worker = undefined;
});
afterAll(async () => {
  await stack?.close();
  await server?.stop();
});

/** As if the queue had lost what the dispatcher gave it. */
async function loseDispatches(): Promise<void> {
  while ((await stack.parts.database.outbox.drain(100, async () => {})) > 0);
}

it('a merge that the queue lost is done all the same', async () => {
  const id = await stack.createMerge(recipe);
  await loseDispatches();
  worker = await stack.startWorker({ graces: GRACES });
  expect((await stack.untilFinal(id)).state).toBe('succeeded');
});

it('a merge whose worker fell silent is done by another one', async () => {
  const id = await stack.createMerge(recipe);
  await loseDispatches();
  await stack.parts.database.attempts.claim(id, 'wrk_gone', { staleAfterMs: 1_500 });
  worker = await stack.startWorker({ graces: GRACES });
  const merge = await stack.untilFinal(id);
  expect(merge).toMatchObject({ state: 'succeeded', attempts: [{ state: 'lost', worker: 'wrk_gone' }, {}] });
});

it('a merge that was to be canceled when its worker fell silent is canceled', async () => {
  const id = await stack.createMerge(recipe);
  await loseDispatches();
  await stack.parts.database.attempts.claim(id, 'wrk_gone', { staleAfterMs: 1_500 });
  await stack.parts.database.control.requestCancel(stack.projectId, id);
  worker = await stack.startWorker({ graces: GRACES });
  expect((await stack.untilFinal(id)).state).toBe('canceled');
});

it('a delivery that the queue lost is sent, once', async () => {
  const { url, received, until, close } = await startReceiver(() => ({ status: 200, waitMs: 600 }));
  const webhook = { url, secret: newSecret(), events: ['merge.queued' as const] };
  const id = await stack.createMerge(recipe, { webhook });
  await loseDispatches();
  worker = await stack.startWorker({ graces: GRACES });
  await until(1);
  await stack.untilFinal(id);
  await vi.waitFor(async () => {
    const { data } = await stack.parts.database.deliveries.listByMerge(stack.projectId, id);
    expect(data).toMatchObject([{ state: 'succeeded', attempts: 1 }]);
  });
  expect(received).toHaveLength(1);
  await close();
});

it('objects that no result names go, after a grace; those of results and of others stay', async () => {
  const { database, store } = stack.parts;
  worker = await stack.startWorker({ graces: GRACES });
  const succeeded = await stack.createMerge(recipe);
  await stack.untilFinal(succeeded);
  const kept = await stack.keys(`results/${succeeded}/`);
  const stray = `results/${succeeded}/${'0'.repeat(64)}/model.safetensors`;
  const unknown = `results/${newId('merge')}/plan/model.safetensors`;
  const foreign = 'results/notes/readme.txt';
  for (const key of [stray, unknown, foreign]) await store.put(key, 'x');

  await worker.close();
  const waiting = await stack.createMerge(recipe);
  const canceled = await stack.createMerge(recipe);
  await database.control.requestCancel(stack.projectId, canceled);
  const ofWaiting = `results/${waiting}/plan/model.safetensors`;
  const ofCanceled = `results/${canceled}/plan/model.safetensors`;
  for (const key of [ofWaiting, ofCanceled]) await store.put(key, 'x');
  // The waiting one may not run, or it would end.
  await loseDispatches();
  worker = await stack.startWorker({ graces: { ...GRACES, dispatchMs: 60_000 } });
  await vi.waitFor(async () => {
    const left = await stack.keys('results/');
    for (const key of [stray, unknown, ofCanceled]) expect(left).not.toContain(key);
  }, 5_000);
  const left = await stack.keys('results/');
  expect(left).toEqual(expect.arrayContaining([...kept, foreign, ofWaiting]));
  await database.control.requestCancel(stack.projectId, waiting);
});

it('uploads that were not completed go with what came of them; workers that vanished are forgotten', async () => {
  const { database, store } = stack.parts;
  const files = [{ path: 'a.bin', bytes: 1 }];
  const expiresAt = new Date(Date.now() - 1000);
  const uploads = ASSET_KINDS.map((kind) => ({ kind, id: newId(kind) }));
  for (const { kind, id } of uploads) {
    const storePrefix = assetPrefix(kind, id);
    await database.assets(kind).createUpload(stack.projectId, { id, name: 'half', storePrefix, files, expiresAt });
    await store.put(`${storePrefix}/a.bin`, 'x');
  }
  const gone = { id: 'wrk_gone', hostname: 'h', pid: 1, device: 'cpu', version: '0' };
  await database.workers.heartbeat({ ...gone, lanes: ['cpu'], running: [] });
  await database.prisma.$executeRaw`UPDATE workers SET heartbeat_at = now() - interval '1 day' WHERE id = 'wrk_gone'`;

  worker = await stack.startWorker({ graces: GRACES });
  await vi.waitFor(async () => {
    for (const { kind, id } of uploads) expect(await stack.keys(`${assetPrefix(kind, id)}/`)).toEqual([]);
    const rows = await database.workers.listAlive(10 * 24 * 3_600_000);
    expect(rows).toMatchObject([{ id: worker?.id, lanes: ['cpu', 'gpu', 'delivery'], device: 'cpu' }]);
  }, 5_000);
  for (const { kind, id } of uploads) expect(await database.assets(kind).get(stack.projectId, id)).toBeNull();
});

it('what lands in the store after its upload was deleted goes, and is not looked for again', async () => {
  const { database, store } = stack.parts;
  const files = [{ path: 'a.bin', bytes: 1 }];
  const expiresAt = new Date(Date.now() + 3_600_000);
  const id = newId('checkpoint');
  const storePrefix = assetPrefix('checkpoint', id);
  await database.checkpoints.createUpload(stack.projectId, { id, name: 'late', storePrefix, files, expiresAt });
  await database.checkpoints.softDelete(stack.projectId, id);
  await store.put(`${storePrefix}/a.bin`, 'x');
  expect(await database.reconciler.deletedUploads(3_600_000)).not.toContainEqual({ id, storePrefix });

  worker = await stack.startWorker({ graces: GRACES });
  await vi.waitFor(async () => expect(await stack.keys(`${storePrefix}/`)).toEqual([]), 5_000);
  await vi.waitFor(async () => expect(await database.reconciler.deletedUploads(0)).toEqual([]), 5_000);
});

it('a step that fails does not keep the others from running', async () => {
  const id = await stack.createMerge(recipe);
  await loseDispatches();
  const releaseLost = vi.spyOn(stack.parts.database.reconciler, 'releaseLost').mockRejectedValue(new Error('no'));
  worker = await stack.startWorker({ graces: GRACES });
  expect((await stack.untilFinal(id)).state).toBe('succeeded');
  expect(releaseLost).toHaveBeenCalled();
  releaseLost.mockRestore();
});

it('metrics tell what was done', async () => {
  worker = await stack.startWorker({ graces: GRACES });
  await stack.untilFinal(await stack.createMerge(recipe));
  await vi.waitFor(async () => {
    const { body } = await stack.metrics.render();
    expect(body).toMatch(/amalgam_merges_total\{method="ties",state="succeeded"\} [1-9]/);
    expect(body).toMatch(/amalgam_merge_seconds_count\{method="ties",stage="publishing"\} [1-9]/);
    expect(body).toMatch(/amalgam_outbox_pending 0/);
    expect(body).toMatch(/amalgam_workers 1/);
  });
});
