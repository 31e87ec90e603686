import { availableParallelism } from 'node:os';
import { AmalgamError } from '@amalgam/contracts';
import { expect, test, vi } from 'vitest';
import { createPool, type ThreadPool } from '../src/pool.js';
import { startThreads } from '../src/pool-thread.js';

const filename = new URL('fixtures/echo-thread.mjs', import.meta.url);

type Task = { kind: string; detail?: string; bytes?: number; until?: SharedArrayBuffer };
type Who = { job: { name: string }; threadId: number };

const open = (job: unknown, threads = 1, onFailure = () => {}) =>
  createPool<Task>({ filename, threads, job, onFailure });
const who = async (pool: ThreadPool<Task>) => (await pool.run<Who>({ kind: 'who' })).threadId;

/** Runs `work` in a pool of its own. */
async function within<T>(job: unknown, work: (pool: ThreadPool<Task>) => Promise<T>): Promise<T> {
  const pool = open(job);
  try {
    return await work(pool);
  } finally {
    await pool.close();
  }
}

/** A number that threads wait for, behind it whether one does. */
function gate() {
  const until = new SharedArrayBuffer(8);
  const hasBegun = () => Atomics.load(new Int32Array(until), 1) === 1;
  const release = () => {
    Atomics.store(new Int32Array(until), 0, 1);
    Atomics.notify(new Int32Array(until), 0);
  };
  return { until, hasBegun, release };
}

test('tasks run side by side on as many threads as the pool has, and no more', async () => {
  const { until, release } = gate();
  const pool = open({ name: 'a' }, 2);
  const waiting = pool.run({ kind: 'wait', until });
  const ids = await Promise.all(Array.from({ length: 20 }, () => who(pool)));
  release();
  await waiting;
  const all = await Promise.all(Array.from({ length: 20 }, () => who(pool)));
  await pool.close();
  expect(new Set(ids).size).toBe(1);
  expect(new Set(all).size).toBe(2);
});

test('there are no more threads than tasks at a time', async () => {
  const pool = open({ name: 'a' }, 8);
  const ids = [await who(pool), await who(pool), await who(pool)];
  await pool.close();
  expect(new Set(ids).size).toBe(1);
});

test('a thread that has ended one job well serves the next, which it knows by its own', async () => {
  const first = await within({ name: 'first' }, (pool) => pool.run<Who>({ kind: 'who' }));
  const second = await within({ name: 'second' }, (pool) => pool.run<Who>({ kind: 'who' }));
  expect(second.threadId).toBe(first.threadId);
  expect([first.job.name, second.job.name]).toEqual(['first', 'second']);
});

test('threads that were started ahead serve the next jobs, and no more are started than wait already', async () => {
  const own = new URL('fixtures/echo-thread.mjs?ahead', import.meta.url);
  startThreads(own, 1);
  startThreads(own, 1);
  const [first, second] = [0, 1].map(() => createPool<Task>({ filename: own, threads: 1, job: {} }));
  const { until, release } = gate();
  const waiting = first!.run({ kind: 'wait', until });
  const fresh = await who(second!);
  release();
  await waiting;
  const ahead = await who(first!);
  await Promise.all([first!.close(), second!.close()]);
  expect(ahead).toBeLessThan(fresh);
});

test('a job ends by closing what it has open, in every thread that worked on it', async () => {
  const closed = new SharedArrayBuffer(4);
  const pool = open({ closed }, 2);
  await Promise.all(Array.from({ length: 20 }, () => who(pool)));
  await pool.close();
  expect(new Int32Array(closed)[0]).toBe(2);
});

test('memory that a job was given is zero, whatever the job before wrote there', async () => {
  const first = await within({}, async (pool) => {
    await pool.run({ kind: 'fill', bytes: 1 << 20 });
    return who(pool);
  });
  const [second, sum] = await within({}, async (pool) => [
    await who(pool),
    await pool.run<number>({ kind: 'sum', bytes: 3 << 19 }),
  ]);
  expect(second).toBe(first);
  expect(sum).toBe(0);
});

test('a thread that holds much memory is not kept', async () => {
  const first = await within({}, async (pool) => {
    await pool.run({ kind: 'fill', bytes: 40 << 20 });
    return who(pool);
  });
  expect(await within({}, who)).not.toBe(first);
});

test('a pool takes no thread that another one still has', async () => {
  const [one, other] = [open({ name: 'one' }), open({ name: 'other' })];
  const ids = [await who(one), await who(other)];
  await Promise.all([one.close(), other.close()]);
  expect(new Set(ids).size).toBe(2);
  expect(ids).toContain(await within({}, who));
});

test('no more threads are kept than there are cores', async () => {
  const cores = availableParallelism();
  const many = Array.from({ length: cores + 2 }, () => open({}));
  const known = new Set(await Promise.all(many.map(who)));
  await Promise.all(many.map((pool) => pool.close()));
  const next = Array.from({ length: cores + 2 }, () => open({}));
  const ids = await Promise.all(next.map(who));
  await Promise.all(next.map((pool) => pool.close()));
  expect(ids.filter((id) => known.has(id))).toHaveLength(cores);
});

test('a failure is told once, fails what has not begun, and none of its threads is kept', async () => {
  let failures = 0;
  const pool = open({}, 1, () => failures++);
  const first = await who(pool);
  const settled = await Promise.allSettled([
    pool.run({ kind: 'fail', detail: 'the first' }),
    pool.run({ kind: 'fail', detail: 'the second' }),
    pool.run({ kind: 'who' }),
  ]);
  await pool.close();
  const error = new AmalgamError('shape_mismatch', 'the first');
  expect(settled).toEqual(Array.from({ length: 3 }, () => ({ status: 'rejected', reason: error })));
  expect(failures).toBe(1);
  expect(await within({}, who)).not.toBe(first);
});

test('a job that cannot begin fails its tasks with the reason', async () => {
  await expect(within('refused', who)).rejects.toMatchObject({ code: 'invalid_recipe' });
});

test('the death of a thread fails its task, and other pools go on', async () => {
  await expect(within({}, (pool) => pool.run({ kind: 'die' }))).rejects.toMatchObject({ code: 'internal' });
  expect(await within({}, who)).toBeGreaterThan(0);
});

test('closing ends a thread in the middle of a task', async () => {
  const { until, hasBegun } = gate();
  const pool = open({});
  const failure = pool.run({ kind: 'wait', until }).catch((error: AmalgamError) => error.code);
  await vi.waitFor(() => expect(hasBegun()).toBe(true), { timeout: 10_000 });
  await pool.close();
  expect(await failure).toBe('internal');
});

test('a pool may be closed at any time while its threads start', async () => {
  for (let delay = 0; delay < 300; delay += 30) {
    const pool = open({});
    const task = who(pool).then(
      () => 'done',
      ({ code }) => code,
    );
    await new Promise((resolve) => setTimeout(resolve, delay));
    await pool.close();
    expect(['done', 'internal']).toContain(await task);
  }
});

test('a closed pool takes no task', async () => {
  const pool = open({});
  await pool.close();
  await expect(who(pool)).rejects.toMatchObject({ code: 'internal' });
});
