import { describe, expect, it } from 'vitest';
import { toMergeResource } from '../src/index.js';
import { eventTypes, makeMerge, RESULT, range, STALE, silence, useWorld } from './fixtures.js';

const world = useWorld();

async function running(): Promise<{ id: string; attemptId: string }> {
  const { id } = await makeMerge(world);
  const claim = await world.db.attempts.claim(id, 'w', STALE);
  return { id, attemptId: claim?.attemptId ?? '' };
}

async function dispatchAll(): Promise<string[]> {
  const ids: string[] = [];
  while ((await world.db.outbox.drain(100, async (rows) => void ids.push(...rows.map((row) => row.id)))) > 0);
  return ids;
}

describe('releaseLost', () => {
  it('requeues what silent workers held, cancels what was to be canceled, leaves the rest', async () => {
    const [lost, canceled, alive] = [await running(), await running(), await running()];
    await world.db.control.requestCancel(world.projectId, canceled.id);
    await silence(world, lost.attemptId);
    await silence(world, canceled.attemptId);
    const all = await Promise.all(range(4).map(() => world.db.reconciler.releaseLost(STALE.staleAfterMs)));
    expect(all.flatMap(({ requeued }) => requeued)).toEqual([lost.id]);
    expect(all.flatMap((released) => released.canceled)).toEqual([canceled.id]);
    expect(await eventTypes(world, lost.id)).toEqual(['merge.queued', 'merge.started', 'merge.queued']);
    expect((await world.db.events.listAfter(world.projectId, lost.id)).at(-1)?.data).toEqual({
      reason: 'worker_lost',
      attempt: 1,
    });
    expect((await world.db.merges.get(world.projectId, alive.id))?.state).toBe('running');
    expect((await world.db.attempts.claim(lost.id, 'next', STALE))?.number).toBe(2);
  });

  it('fails what was lost too often', async () => {
    const { id, attemptId } = await running();
    await silence(world, attemptId);
    expect((await world.db.reconciler.releaseLost(STALE.staleAfterMs, 1)).failed).toEqual([id]);
    const merge = await world.db.merges.get(world.projectId, id);
    expect(merge === null ? null : toMergeResource(merge)).toMatchObject({
      state: 'failed',
      error: { code: 'attempts_exhausted' },
      attempts: [{ state: 'lost', error: { code: 'unavailable' } }],
    });
  });

  it('requeues a running merge that has no attempt at all', async () => {
    const { id, attemptId } = await running();
    await world.db.prisma.attempt.delete({ where: { id: attemptId } });
    expect((await world.db.reconciler.releaseLost(STALE.staleAfterMs)).requeued).toEqual([id]);
  });
});

describe('queuedWithoutDispatch', () => {
  it('finds what the queue must have, and redispatch makes one new row', async () => {
    const { id } = await makeMerge(world);
    const found = async () => (await world.db.reconciler.queuedWithoutDispatch(0)).map((row) => row.id);
    expect(await found()).not.toContain(id);
    const dispatched = await dispatchAll();
    expect(await found()).toContain(id);
    expect(await world.db.reconciler.queuedWithoutDispatch(60_000)).toEqual([]);
    expect(dispatched).toContain((await world.db.reconciler.dispatchesOf(id))[0]);
    const made = await Promise.all(range(5).map(() => world.db.reconciler.redispatch(id)));
    expect(made.filter(Boolean)).toHaveLength(1);
    expect(await found()).not.toContain(id);
    await world.db.control.requestCancel(world.projectId, id);
    await dispatchAll();
    expect(await world.db.reconciler.redispatch(id)).toBe(false);
    expect(await found()).not.toContain(id);
  });
});

describe('the outbox', () => {
  it('gives each row to one of several dispatchers', async () => {
    await dispatchAll();
    for (const _ of range(12)) await makeMerge(world);
    const seen: string[] = [];
    const counts = await Promise.all(
      range(6).map(() =>
        world.db.outbox.drain(4, async (rows) => {
          seen.push(...rows.map((row) => row.id));
          await new Promise((resolve) => setTimeout(resolve, 50));
        }),
      ),
    );
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(12);
    expect(new Set(seen).size).toBe(12);
  });

  it('keeps the rows when dispatching fails', async () => {
    await dispatchAll();
    const { id } = await makeMerge(world);
    await expect(world.db.outbox.drain(10, async () => Promise.reject(new Error('no queue')))).rejects.toThrow(
      'no queue',
    );
    expect((await world.db.outbox.backlog()).due).toBe(1);
    const rows: unknown[] = [];
    await world.db.outbox.drain(10, async (found) => void rows.push(...found));
    expect(rows).toMatchObject([
      {
        kind: 'merge',
        subjectId: id,
        payload: { merge_id: id, project_id: world.projectId, lane: 'cpu', priority: 0 },
      },
    ]);
    expect(await world.db.outbox.backlog()).toEqual({ due: 0, oldestMs: 0 });
  });

  it('forgets what was dispatched long ago, and only that', async () => {
    await makeMerge(world);
    const before = await world.db.prisma.outbox.count({ where: { dispatchedAt: { not: null } } });
    expect(await world.db.outbox.purge(60_000)).toBe(0);
    expect(await world.db.outbox.purge(-1000)).toBe(before);
    expect(await world.db.prisma.outbox.count()).toBe(1);
  });
});

describe('workers', () => {
  const worker = {
    id: 'h/1',
    hostname: 'h',
    pid: 1,
    lanes: ['cpu', 'delivery'],
    device: '2 cores',
    version: '0.1.0',
  } as const;

  it('are alive as long as they say so', async () => {
    const { workers } = world.db;
    await workers.heartbeat({ ...worker, lanes: [...worker.lanes], running: [] });
    await workers.heartbeat({ ...worker, lanes: [...worker.lanes], running: ['mrg_1'] });
    expect(await workers.listAlive(10_000)).toMatchObject([
      { id: 'h/1', lanes: ['cpu', 'delivery'], running: ['mrg_1'] },
    ]);
    await world.db.prisma.$executeRaw`UPDATE workers SET heartbeat_at = now() - interval '60 seconds'`;
    expect(await workers.listAlive(10_000)).toEqual([]);
    expect(await workers.purge(3_600_000)).toBe(0);
    expect(await workers.purge(30_000)).toBe(1);
    await workers.heartbeat({ ...worker, lanes: ['gpu'], running: [] });
    await workers.remove('h/1');
    expect(await workers.listAlive(10_000)).toEqual([]);
  });
});

describe('exclusively', () => {
  it('lets one process work at a time', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let started = () => {};
    const running = new Promise<void>((resolve) => {
      started = resolve;
    });
    const first = world.db.reconciler.exclusively(async () => {
      started();
      await held;
    });
    await running;
    expect(await world.db.reconciler.exclusively(async () => Promise.reject(new Error('never')))).toBe(false);
    release();
    expect(await first).toBe(true);
    await expect(world.db.reconciler.exclusively(async () => Promise.reject(new Error('inside')))).rejects.toThrow();
    expect(await world.db.reconciler.exclusively(async () => {})).toBe(true);
  });
});

describe('resultOwners', () => {
  it('tells which objects a result names', async () => {
    const { reconciler, attempts, checkpoints, control } = world.db;
    const [active, done] = [await running(), await running()];
    const { id: canceled } = await makeMerge(world);
    await control.requestCancel(world.projectId, canceled);
    const checkpoint = { ...RESULT, storePrefix: `results/${done.id}/plan` };
    await attempts.finish(done.attemptId, { state: 'succeeded', checkpoint, report: {} });
    const look = async (ms: number) => {
      const rows = await reconciler.resultOwners([active.id, done.id, canceled, 'mrg_none'], ms);
      return rows.sort((a, b) => (a.id < b.id ? -1 : 1)).map(({ settled, storePrefix }) => [settled, storePrefix]);
    };
    const kept = `results/${done.id}/plan`;
    expect(await look(-1000)).toEqual([
      [false, null],
      [true, kept],
      [true, null],
    ]);
    expect(await look(60_000)).toEqual([
      [false, null],
      [false, kept],
      [false, null],
    ]);
    const result = (await world.db.merges.get(world.projectId, done.id))?.result?.id ?? '';
    await checkpoints.softDelete(world.projectId, result);
    expect((await look(-1000))[1]).toEqual([true, null]);
  });
});
