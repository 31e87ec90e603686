import { expect, it } from 'vitest';
import type { QueueJob } from '../../src/index.js';
import { Gate, unique, until, wipe } from '../helpers.js';
import { type Bench, LANE } from './bench.js';

/** What is added is delivered, once, in its lane. */
export function deliveryContract(bench: Bench): void {
  it('delivers what is added, before and after the consumer starts', async () => {
    const seen: QueueJob[] = [];
    const [first, second] = [unique(), unique()];
    await bench.queue.add(LANE, { id: first, data: { merge: first } });
    await bench.consume(async (job) => {
      seen.push(job);
    });
    await bench.queue.add(LANE, { id: second, data: { merge: second } });
    await until(() => seen.length === 2);
    expect(seen).toEqual([
      { id: first, data: { merge: first } },
      { id: second, data: { merge: second } },
    ]);
  });

  it('keeps lanes apart', async () => {
    const seen: string[] = [];
    const id = unique();
    await wipe(bench.backend.config, 'gpu');
    await bench.queue.add('gpu', { id, data: {} });
    const gpu = await bench.queue.consume('gpu', async (job) => void seen.push(`gpu ${job.id}`), { concurrency: 1 });
    bench.closeLater(gpu);
    await bench.consume(async (job) => void seen.push(`cpu ${job.id}`));
    await until(() => seen.length === 1);
    expect(seen).toEqual([`gpu ${id}`]);
  });

  it('adds an id once while it exists', async () => {
    const seen: string[] = [];
    const id = unique();
    const gate = new Gate();
    await Promise.all(Array.from({ length: 10 }, () => bench.queue.add(LANE, { id, data: {} })));
    expect((await bench.queue.counts(LANE)).waiting).toBe(1);
    await bench.consume(async (job) => {
      seen.push(job.id);
      await gate.opened;
    });
    await until(() => seen.length === 1);
    await bench.queue.add(LANE, { id, data: {} });
    expect(await bench.queue.counts(LANE)).toEqual({ waiting: 0, delayed: 0, active: 1, failed: 0 });
    gate.open();
    await until(async () => !(await bench.queue.has(LANE, id)));
    expect(seen).toEqual([id]);
  });

  it('adds an id again after it was completed or failed', async () => {
    const id = unique();
    let runs = 0;
    await bench.consume(async () => {
      runs++;
      if (runs === 2) throw new Error('the second time it fails');
    });
    for (const run of [1, 2, 3]) {
      await bench.queue.add(LANE, { id, data: {} });
      await until(() => runs === run);
      await until(async () => !(await bench.queue.has(LANE, id)));
      expect((await bench.queue.counts(LANE)).failed).toBe(run === 2 ? 1 : 0);
    }
  });

  it('holds a delayed job back', async () => {
    const id = unique();
    let at = 0;
    await bench.consume(async () => {
      at = Date.now();
    });
    const added = Date.now();
    await bench.queue.add(LANE, { id, data: {}, delayMs: 700 });
    expect(await bench.queue.has(LANE, id)).toBe(true);
    expect((await bench.queue.counts(LANE)).delayed).toBe(1);
    await until(() => at > 0);
    // A timer may fire a millisecond early.
    expect(at - added).toBeGreaterThanOrEqual(695);
    expect(at - added).toBeLessThan(5_000);
  });

  it('runs as many jobs at once as asked, and no more', async () => {
    let most = 0;
    let now = 0;
    let done = 0;
    const consumer = await bench.consume(
      async () => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setTimeout(resolve, 30));
        now--;
        done++;
      },
      { concurrency: 3 },
    );
    for (let i = 0; i < 15; i++) await bench.queue.add(LANE, { id: unique(), data: {} });
    await until(() => done === 15);
    expect(most).toBe(3);
    await until(() => consumer.running() === 0);
  });

  it('answers has, counts and remove', async () => {
    const [waiting, delayed] = [unique(), unique()];
    expect(await bench.queue.has(LANE, waiting)).toBe(false);
    expect(await bench.queue.counts(LANE)).toEqual({ waiting: 0, delayed: 0, active: 0, failed: 0 });
    await bench.queue.add(LANE, { id: waiting, data: {} });
    await bench.queue.add(LANE, { id: delayed, data: {}, delayMs: 60_000 });
    expect(await bench.queue.has(LANE, waiting)).toBe(true);
    expect(await bench.queue.has(LANE, delayed)).toBe(true);
    expect(await bench.queue.counts(LANE)).toEqual({ waiting: 1, delayed: 1, active: 0, failed: 0 });
    await bench.queue.remove(LANE, waiting);
    await bench.queue.remove(LANE, delayed);
    await bench.queue.remove(LANE, unique());
    expect(await bench.queue.has(LANE, waiting)).toBe(false);
    expect(await bench.queue.counts(LANE)).toEqual({ waiting: 0, delayed: 0, active: 0, failed: 0 });
  });

  it('leaves an active job alone when it is removed', async () => {
    const id = unique();
    const gate = new Gate();
    const consumer = await bench.consume(() => gate.opened);
    await bench.queue.add(LANE, { id, data: {} });
    await until(() => consumer.running() === 1);
    await bench.queue.remove(LANE, id);
    expect(await bench.queue.has(LANE, id)).toBe(true);
    gate.open();
    await until(async () => !(await bench.queue.has(LANE, id)));
  });

  it('delivers 500 jobs to two consumers, each once', async () => {
    const ids = Array.from({ length: 500 }, unique);
    const seen: string[] = [];
    const share = [0, 0];
    for (const index of [0, 1]) {
      await bench.consume(
        async (job) => {
          seen.push(job.id);
          share[index]!++;
        },
        { concurrency: 4, lockMs: 15_000 },
      );
    }
    for (let from = 0; from < ids.length; from += 20) {
      await Promise.all(ids.slice(from, from + 20).map((id) => bench.queue.add(LANE, { id, data: {} })));
    }
    await until(() => seen.length >= 500, 60_000);
    await until(async () => (await bench.queue.counts(LANE)).active === 0);
    expect([...seen].sort()).toEqual([...ids].sort());
    expect(Math.min(...share)).toBeGreaterThan(0);
  });

  it('refuses ids that the queue cannot carry', async () => {
    for (const id of ['', '7', '-7', 'a:b']) {
      await expect(bench.queue.add(LANE, { id, data: {} })).rejects.toThrow(TypeError);
    }
  });
}
