import { Merge, validate } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { toMergeResource } from '../src/index.js';
import { eventTypes, makeCheckpoint, makeMerge, mergeOf, RESULT, range, STALE, useWorld } from './fixtures.js';

const world = useWorld();
const NOWHERE = 'mrg_00000000000000000000000000';

async function claimed() {
  const merge = await makeMerge(world);
  const claim = await world.db.attempts.claim(merge.id, 'w1', STALE);
  if (claim === null) throw new Error('not claimed');
  return { merge, claim };
}

async function resource(id: string): Promise<Merge> {
  const row = await world.db.merges.get(world.projectId, id);
  if (row === null) throw new Error('gone');
  return toMergeResource(row);
}

describe('a new merge', () => {
  it('has its first event and its outbox row, and is what the contract says', async () => {
    const merge = await makeMerge(world, { name: 'first', metadata: { run: '7' }, plan: { tensors: 1 } });
    const shown = toMergeResource(merge);
    expect(validate(Merge, shown)).toMatchObject({ ok: true });
    expect(shown).toMatchObject({
      state: 'queued',
      method: 'linear',
      name: 'first',
      progress: { stage: null, bytes_done: 0, bytes_total: 100 },
      attempts: [],
      result: null,
      error: null,
      webhook: null,
      metadata: { run: '7' },
    });
    expect(await resource(merge.id)).toEqual(shown);
    expect(await eventTypes(world, merge.id)).toEqual(['merge.queued']);
    expect(await world.db.reconciler.dispatchesOf(merge.id)).toHaveLength(1);
    expect(await world.db.merges.details(world.projectId, merge.id)).toMatchObject({
      state: 'queued',
      plan: { tensors: 1 },
      report: null,
      inputs: [{ role: 'model' }],
    });
  });

  it('keeps the recipe with its keys in their order', async () => {
    const { id } = await makeCheckpoint(world);
    const recipe = { models: [{ model: id, parameters: { weight: 1, a: 2 } }], method: 'linear', base: id };
    const merge = await world.db.merges.create(world.projectId, { ...mergeOf(id), recipe });
    expect(JSON.stringify((await resource(merge.id)).recipe)).toBe(JSON.stringify(recipe));
  });

  it('needs ready inputs of its own project', async () => {
    const pending = await world.db.checkpoints.createUpload(world.projectId, {
      name: 'half',
      storePrefix: 'p/',
      files: [{ path: 'a.safetensors', bytes: 1 }],
      expiresAt: new Date(Date.now() + 60_000),
    });
    await expect(world.db.merges.create(world.projectId, mergeOf(pending.id))).rejects.toMatchObject({
      code: 'checkpoint_not_ready',
    });
    const ready = await makeCheckpoint(world);
    await expect(world.db.merges.create(world.strangerId, mergeOf(ready.id))).rejects.toMatchObject({
      code: 'not_found',
    });
    expect((await world.db.merges.list(world.strangerId)).data).toEqual([]);
  });

  it('refuses texts that Postgres does not keep', async () => {
    const { id } = await makeCheckpoint(world);
    await expect(
      world.db.merges.create(world.projectId, mergeOf(id, { metadata: { 'k/x': 'a\0' } })),
    ).rejects.toMatchObject({ code: 'invalid_request', errors: [{ pointer: '/metadata/k~1x' }] });
  });
});

describe('cancel', () => {
  it('ends a queued merge at once, and says so once', async () => {
    const { id } = await makeMerge(world);
    const results = await Promise.all(range(5).map(() => world.db.control.requestCancel(world.projectId, id)));
    expect(results.map(({ state }) => state)).toEqual(range(5).map(() => 'canceled'));
    expect(await eventTypes(world, id)).toEqual(['merge.queued', 'merge.canceled']);
    expect(await resource(id)).toMatchObject({ state: 'canceled', cancel_requested_at: expect.any(String) });
    expect(await world.db.attempts.claim(id, 'w', STALE)).toBeNull();
  });

  it('asks the worker of a running merge', async () => {
    const { merge, claim } = await claimed();
    const first = await world.db.control.requestCancel(world.projectId, merge.id);
    expect(first.state).toBe('running');
    const second = await world.db.control.requestCancel(world.projectId, merge.id);
    expect(second.cancelRequestedAt).toEqual(first.cancelRequestedAt);
    expect(await world.db.attempts.heartbeat(claim.attemptId)).toEqual({ ok: true, cancelRequested: true });
    expect(await world.db.attempts.finish(claim.attemptId, { state: 'canceled' })).toBe(true);
    expect(await resource(merge.id)).toMatchObject({ state: 'canceled', attempts: [{ state: 'canceled' }] });
  });

  it('is refused after success and after failure', async () => {
    for (const outcome of [
      { state: 'succeeded', checkpoint: RESULT, report: {} },
      { state: 'failed', error: { code: 'internal', detail: 'x' } },
    ] as const) {
      const { merge, claim } = await claimed();
      await world.db.attempts.finish(claim.attemptId, outcome);
      await expect(world.db.control.requestCancel(world.projectId, merge.id)).rejects.toMatchObject({
        code: 'merge_finished',
      });
    }
  });
});

describe('retry', () => {
  it('queues a failed merge again, with a clean slate and higher numbers', async () => {
    const { merge, claim } = await claimed();
    const error = { code: 'shape_mismatch', detail: 'tensor a\0b', errors: [{ pointer: '/x', detail: 'y' }] } as const;
    await world.db.attempts.finish(claim.attemptId, {
      state: 'failed',
      error: { ...error, errors: [...error.errors] },
    });
    expect(await resource(merge.id)).toMatchObject({
      state: 'failed',
      error: { code: 'shape_mismatch', detail: 'tensor a\ufffdb', errors: error.errors },
      attempts: [{ number: 1, state: 'failed', error: { code: 'shape_mismatch' } }],
    });
    const again = await world.db.control.retry(world.projectId, merge.id);
    expect(toMergeResource(again)).toMatchObject({
      state: 'queued',
      error: null,
      started_at: null,
      finished_at: null,
      attempts: [{ number: 1 }],
    });
    expect((await world.db.attempts.claim(merge.id, 'w2', STALE))?.number).toBe(2);
    expect(await eventTypes(world, merge.id)).toEqual([
      'merge.queued',
      'merge.started',
      'merge.failed',
      'merge.queued',
      'merge.started',
    ]);
  });

  it('takes canceled merges, refuses unfinished and succeeded ones', async () => {
    const canceled = await makeMerge(world);
    await world.db.control.requestCancel(world.projectId, canceled.id);
    expect(await world.db.control.retry(world.projectId, canceled.id)).toMatchObject({
      state: 'queued',
      cancelRequestedAt: null,
    });
    await expect(world.db.control.retry(world.projectId, canceled.id)).rejects.toMatchObject({
      code: 'merge_not_finished',
    });
    const { merge, claim } = await claimed();
    await world.db.attempts.finish(claim.attemptId, { state: 'succeeded', checkpoint: RESULT, report: {} });
    await expect(world.db.control.retry(world.projectId, merge.id)).rejects.toMatchObject({ code: 'merge_finished' });
  });
});

describe('lists', () => {
  it('are complete and stable, newest first', async () => {
    const { id: projectId } = await world.db.projects.ensure('merge-lists');
    const own = { ...world, projectId };
    const made: string[] = [];
    for (const _ of range(7)) made.push((await makeMerge(own)).id);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await world.db.merges.list(projectId, { limit: 2, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.data.map(({ id }) => id));
      cursor = page.next_cursor ?? undefined;
      await makeMerge(own);
    } while (cursor !== undefined);
    expect(seen).toEqual(made.toReversed());
    expect(await world.db.merges.countByState(projectId)).toEqual({ queued: 7 + 4 });
  });

  it('filter', async () => {
    const { id: projectId } = await world.db.projects.ensure('merge-filters');
    const own = { ...world, projectId };
    const ties = { method: 'ties', models: [{ model: 'x' }] };
    const a = await makeMerge(own, { name: 'Alpha 100%', metadata: { team: 'x', run: '1' } });
    const b = await makeMerge(own, { name: 'beta', metadata: { team: 'x' }, recipe: ties });
    await world.db.control.requestCancel(projectId, b.id);
    const ids = async (filter: Parameters<typeof world.db.merges.list>[1]) =>
      (await world.db.merges.list(projectId, filter)).data.map(({ id }) => id);
    expect(await ids({ state: 'canceled' })).toEqual([b.id]);
    expect(await ids({ state: ['queued', 'canceled'] })).toEqual([b.id, a.id]);
    expect(await ids({ method: 'ties' })).toEqual([b.id]);
    expect(await ids({ metadata: { team: 'x' } })).toEqual([b.id, a.id]);
    expect(await ids({ metadata: { team: 'x', run: '1' } })).toEqual([a.id]);
    expect(await ids({ metadata: { team: "'; DROP TABLE merges; --" } })).toEqual([]);
    expect(await ids({ name: 'alpha 100%' })).toEqual([a.id]);
    expect(await ids({ name: 'alpha_100' })).toEqual([]);
    expect(await ids({ createdAfter: b.createdAt })).toEqual([]);
    expect(await ids({ createdBefore: b.createdAt })).toEqual([a.id]);
    expect(await ids({ createdAfter: new Date(0), createdBefore: new Date(Date.now() + 60_000) })).toHaveLength(2);
  });
});

describe('another project', () => {
  it('sees and changes nothing', async () => {
    const { id } = await makeMerge(world);
    const { db, strangerId } = world;
    expect(await db.merges.get(strangerId, id)).toBeNull();
    expect(await db.merges.details(strangerId, id)).toBeNull();
    for (const call of [
      () => db.control.requestCancel(strangerId, id),
      () => db.control.retry(strangerId, id),
      () => db.events.listAfter(strangerId, id),
      () => db.deliveries.listByMerge(strangerId, id),
      () => db.control.requestCancel(world.projectId, NOWHERE),
      () => db.events.listAfter(world.projectId, NOWHERE),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'not_found' });
    }
    expect((await resource(id)).state).toBe('queued');
  });
});

describe('events', () => {
  it('are read from any number on', async () => {
    const { merge, claim } = await claimed();
    await world.db.attempts.finish(claim.attemptId, { state: 'canceled' });
    const events = await world.db.events.listAfter(world.projectId, merge.id, 1, 1);
    expect(events.map(({ seq, type }) => [seq, type])).toEqual([[2, 'merge.started']]);
    expect(await world.db.events.listAfter(world.projectId, merge.id, 3)).toEqual([]);
  });
});
