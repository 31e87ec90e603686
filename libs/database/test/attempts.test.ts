import { describe, expect, it } from 'vitest';
import { toMergeResource } from '../src/index.js';
import { eventTypes, makeMerge, RESULT, range, STALE, silence, useWorld } from './fixtures.js';

const world = useWorld();

async function claim(mergeId: string, worker = 'w1') {
  const claimed = await world.db.attempts.claim(mergeId, worker, STALE);
  if (claimed === null) throw new Error('not claimed');
  return claimed;
}

async function shown(id: string) {
  const row = await world.db.merges.get(world.projectId, id);
  if (row === null) throw new Error('gone');
  return toMergeResource(row);
}

describe('claim', () => {
  it('gives a worker what it works from', async () => {
    const merge = await makeMerge(world, { name: 'n', metadata: { a: 'b' }, plan: { p: 1 } });
    const claimed = await claim(merge.id, 'host/1');
    expect(claimed).toMatchObject({
      number: 1,
      merge: {
        id: merge.id,
        projectId: world.projectId,
        name: 'n',
        plan: { p: 1 },
        bytesTotal: 100,
        metadata: { a: 'b' },
      },
    });
    expect(claimed.merge.recipe).toEqual(merge.recipe);
    expect(claimed.merge.inputs).toHaveLength(1);
    expect(await shown(merge.id)).toMatchObject({
      state: 'running',
      started_at: expect.any(String),
      attempts: [{ number: 1, state: 'running', worker: 'host/1', finished_at: null, error: null }],
    });
  });

  it('tells what the worker computes on, when it says so', async () => {
    const { id } = await makeMerge(world);
    const first = await world.db.attempts.claim(id, 'w1', { ...STALE, device: 'cpu: 8 threads' });
    expect((await shown(id)).attempts).toMatchObject([{ device: 'cpu: 8 threads' }]);
    await world.db.attempts.release(first?.attemptId ?? '');
    await claim(id);
    expect((await shown(id)).attempts).toMatchObject([{ device: 'cpu: 8 threads' }, { device: null }]);
    const events = await world.db.events.listAfter(world.projectId, id, 0, 10);
    expect(events.filter(({ type }) => type === 'merge.started').map(({ data }) => data)).toEqual([
      { attempt: 1, worker: 'w1', device: 'cpu: 8 threads' },
      { attempt: 2, worker: 'w1' },
    ]);
  });

  it('has one winner among 20', async () => {
    const { id } = await makeMerge(world);
    const claims = await Promise.all(range(20).map((at) => world.db.attempts.claim(id, `w${at}`, STALE)));
    expect(claims.filter((claimed) => claimed !== null)).toHaveLength(1);
    expect((await shown(id)).attempts).toHaveLength(1);
    expect(await eventTypes(world, id)).toEqual(['merge.queued', 'merge.started']);
  });

  it('has one winner among 20 too when they take over from a lost worker', async () => {
    const { id } = await makeMerge(world);
    const { attemptId } = await claim(id);
    await silence(world, attemptId);
    const claims = await Promise.all(range(20).map((at) => world.db.attempts.claim(id, `w${at}`, STALE)));
    expect(claims.filter((claimed) => claimed !== null).map((claimed) => claimed?.number)).toEqual([2]);
    expect((await shown(id)).attempts.map(({ state }) => state)).toEqual(['lost', 'running']);
    expect(await eventTypes(world, id)).toEqual(['merge.queued', 'merge.started', 'merge.queued', 'merge.started']);
  });

  it('leaves a merge whose worker is heard of to that worker', async () => {
    const { id } = await makeMerge(world);
    const { attemptId } = await claim(id);
    await silence(world, attemptId);
    expect((await world.db.attempts.heartbeat(attemptId)).ok).toBe(true);
    expect(await world.db.attempts.claim(id, 'w2', STALE)).toBeNull();
  });

  it('finds nothing where there is no merge', async () => {
    expect(await world.db.attempts.claim('mrg_nowhere', 'w', STALE)).toBeNull();
  });

  it('gives up after so many lost workers, and begins to count anew after a retry', async () => {
    const { id } = await makeMerge(world);
    for (const number of [1, 2, 3]) {
      const claimed = await claim(id);
      expect(claimed.number).toBe(number);
      await silence(world, claimed.attemptId);
    }
    expect(await world.db.attempts.claim(id, 'w', STALE)).toBeNull();
    expect(await shown(id)).toMatchObject({ state: 'failed', error: { code: 'attempts_exhausted' } });
    expect((await eventTypes(world, id)).at(-1)).toBe('merge.failed');
    await world.db.control.retry(world.projectId, id);
    const { attemptId, number } = await claim(id);
    expect(number).toBe(4);
    await silence(world, attemptId);
    expect((await claim(id)).number).toBe(5);
  });
});

describe('progress', () => {
  it('writes the row each time, and an event for a new stage or after half a second', async () => {
    const { id } = await makeMerge(world);
    const { attemptId } = await claim(id);
    for (const bytesDone of [1, 2, 3]) {
      const lease = await world.db.attempts.progress(attemptId, { stage: 'merging', bytesDone, bytesTotal: 9 });
      expect(lease).toEqual({ ok: true, cancelRequested: false });
    }
    await world.db.attempts.progress(attemptId, { stage: 'publishing', bytesDone: 4, bytesTotal: 9 });
    expect((await shown(id)).progress).toEqual({ stage: 'publishing', bytes_done: 4, bytes_total: 9 });
    await world.db.prisma.$executeRaw`
      UPDATE merges SET last_progress_at = now() - interval '1 second' WHERE id = ${id}`;
    await world.db.attempts.progress(attemptId, { stage: 'publishing', bytesDone: 5, bytesTotal: 9 });
    const events = await world.db.events.listAfter(world.projectId, id, 2);
    expect(events.map(({ data }) => [data['stage'], data['bytes_done'], data['attempt']])).toEqual([
      ['merging', 1, 1],
      ['publishing', 4, 1],
      ['publishing', 5, 1],
    ]);
  });

  it('keeps the last news of the tuning, and sends as few events as ever', async () => {
    const { id } = await makeMerge(world);
    const { attemptId } = await claim(id);
    const tuning = (step: number) => ({ step, steps: 3, loss: 2 / step, losses: [1 / step, 1 / step] });
    const told = (step: number) =>
      world.db.attempts.progress(attemptId, { stage: 'tuning', bytesDone: 0, bytesTotal: 0, tuning: tuning(step) });
    for (const step of [1, 2, 3]) await told(step);
    expect((await shown(id)).progress.tuning).toEqual(tuning(3));
    await world.db.attempts.progress(attemptId, { stage: 'merging', bytesDone: 1, bytesTotal: 9 });
    expect((await shown(id)).progress).toEqual({
      stage: 'merging',
      bytes_done: 1,
      bytes_total: 9,
      tuning: tuning(3),
    });
    const events = await world.db.events.listAfter(world.projectId, id, 2);
    expect(events.map(({ data }) => [data['stage'], data['tuning']])).toEqual([
      ['tuning', tuning(1)],
      ['merging', undefined],
    ]);
    await silence(world, attemptId);
    await claim(id, 'w2');
    expect((await shown(id)).progress.tuning).toBeUndefined();
  });

  it('numbers events without holes when 20 write at the same time', async () => {
    const { id } = await makeMerge(world);
    const { attemptId } = await claim(id);
    const stages = ['merging', 'publishing'] as const;
    await Promise.all(
      range(20).map((at) =>
        world.db.attempts.progress(attemptId, {
          stage: stages[at % 2] as 'merging',
          bytesDone: at,
          bytesTotal: 20,
        }),
      ),
    );
    expect((await eventTypes(world, id)).length).toBeGreaterThan(3); // eventTypes checks the numbers
    const events = await world.db.events.listAfter(world.projectId, id);
    const times = events.map((event) => event.created_at);
    expect(times).toEqual(times.toSorted());
  });
});

describe('finish', () => {
  it('makes the result, the report and the event visible at once', async () => {
    const { id } = await makeMerge(world);
    const { attemptId } = await claim(id);
    const report = { seconds: { merging: 1.5 }, tensors: [] };
    expect(await world.db.attempts.finish(attemptId, { state: 'succeeded', checkpoint: RESULT, report })).toBe(true);
    const merge = await shown(id);
    expect(merge).toMatchObject({
      state: 'succeeded',
      progress: { stage: null, bytes_done: 100, bytes_total: 100 },
      result: { bytes: 72, files: [{ path: 'model.safetensors', bytes: 72 }] },
      attempts: [{ state: 'succeeded' }],
    });
    const checkpoint = await world.db.checkpoints.get(world.projectId, merge.result?.checkpoint_id ?? '');
    expect(checkpoint).toMatchObject({ state: 'ready', source: 'merge', mergeId: id, storePrefix: 'results/x' });
    expect((await world.db.merges.details(world.projectId, id))?.report).toEqual(report);
    const events = await world.db.events.listAfter(world.projectId, id);
    expect(events.at(-1)).toMatchObject({ type: 'merge.succeeded', data: { checkpoint_id: checkpoint?.id } });
  });

  it('happens once', async () => {
    const { id } = await makeMerge(world);
    const { attemptId } = await claim(id);
    const done = await Promise.all(
      range(6).map((at) =>
        world.db.attempts.finish(
          attemptId,
          at % 2 === 0 ? { state: 'succeeded', checkpoint: RESULT, report: {} } : { state: 'canceled' },
        ),
      ),
    );
    expect(done.filter(Boolean)).toHaveLength(1);
    expect(await eventTypes(world, id)).toHaveLength(3);
  });

  it('is refused to a worker that was taken over from', async () => {
    const { id } = await makeMerge(world);
    const old = await claim(id, 'old');
    await silence(world, old.attemptId);
    const next = await claim(id, 'new');
    const before = await world.db.prisma.asset.count();
    for (const outcome of [
      { state: 'succeeded', checkpoint: RESULT, report: {} },
      { state: 'failed', error: { code: 'internal', detail: 'x' } },
      { state: 'canceled' },
    ] as const) {
      expect(await world.db.attempts.finish(old.attemptId, outcome)).toBe(false);
    }
    expect(await world.db.prisma.asset.count()).toBe(before);
    expect(await world.db.attempts.heartbeat(old.attemptId)).toEqual({ ok: false, cancelRequested: false });
    const update = { stage: 'merging', bytesDone: 1, bytesTotal: 2 } as const;
    expect(await world.db.attempts.progress(old.attemptId, update)).toEqual({ ok: false, cancelRequested: false });
    expect(await world.db.attempts.release(old.attemptId)).toBe(false);
    const shard = { index: 0, path: 'a', key: 'old', bytes: 1, sha256: 'x' };
    expect(await world.db.shards.save(old.attemptId, 'digest', shard)).toBe(false);
    expect(await shown(id)).toMatchObject({ state: 'running', progress: { bytes_done: 0 } });
    expect(await world.db.attempts.finish(next.attemptId, { state: 'canceled' })).toBe(true);
  });
});

describe('release', () => {
  it('gives the merge back without counting a loss', async () => {
    const { id } = await makeMerge(world);
    for (const number of [1, 2, 3, 4, 5]) {
      const claimed = await claim(id);
      expect(claimed.number).toBe(number);
      expect(await world.db.attempts.release(claimed.attemptId)).toBe(true);
    }
    expect(await shown(id)).toMatchObject({ state: 'queued', attempts: range(5).map(() => ({ state: 'lost' })) });
    expect((await world.db.events.listAfter(world.projectId, id)).at(-1)?.data).toEqual({
      reason: 'worker_stopped',
      attempt: 5,
    });
  });

  it('cancels a merge that was to be canceled', async () => {
    const { id } = await makeMerge(world);
    const { attemptId } = await claim(id);
    await world.db.control.requestCancel(world.projectId, id);
    expect(await world.db.attempts.release(attemptId)).toBe(true);
    expect((await shown(id)).state).toBe('canceled');
  });

  it('after trouble gives the merge back as often as was said, and then fails it with the trouble', async () => {
    const { id } = await makeMerge(world);
    const error = { code: 'storage_error', detail: 'the store is away' } as const;
    const first = await claim(id);
    expect(await world.db.attempts.release(first.attemptId, { error, maxAttempts: 2 })).toBe(true);
    expect(await shown(id)).toMatchObject({ state: 'queued', error: null, attempts: [{ state: 'failed', error }] });
    const second = await claim(id);
    expect(await world.db.attempts.release(second.attemptId, { error, maxAttempts: 2 })).toBe(true);
    expect(await shown(id)).toMatchObject({ state: 'failed', error });
    expect((await world.db.events.listAfter(world.projectId, id)).map(({ data }) => data)).toMatchObject([
      { reason: 'created' },
      { attempt: 1 },
      { reason: 'attempt_failed', attempt: 1, error },
      { attempt: 2 },
      { attempt: 2, error },
    ]);
  });
});

describe('shards', () => {
  it('outlive their attempt, for the same plan', async () => {
    const { id } = await makeMerge(world);
    const first = await claim(id);
    for (const index of [1, 0]) {
      const shard = { index, path: `m-${index}`, key: `k${index}`, bytes: 2 ** 40, sha256: 'x', stats: { b: 1, a: 2 } };
      expect(await world.db.shards.save(first.attemptId, 'plan-1', shard)).toBe(true);
    }
    await silence(world, first.attemptId);
    const second = await claim(id);
    const kept = await world.db.shards.list(id, 'plan-1');
    expect(kept.map(({ index, key, bytes, stats }) => [index, key, bytes, JSON.stringify(stats)])).toEqual([
      [0, 'k0', 2 ** 40, '{"b":1,"a":2}'],
      [1, 'k1', 2 ** 40, '{"b":1,"a":2}'],
    ]);
    expect(await world.db.shards.list(id, 'plan-2')).toEqual([]);
    await world.db.shards.save(second.attemptId, 'plan-1', { index: 0, path: 'm', key: 'new', bytes: 1, sha256: 'y' });
    expect((await world.db.shards.list(id, 'plan-1'))[0]).toMatchObject({ key: 'new', bytes: 1, stats: null });
    expect((await world.db.shards.removeAll(id)).sort()).toEqual(['k1', 'new']);
  });
});
