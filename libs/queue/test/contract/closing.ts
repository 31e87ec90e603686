import { expect, it } from 'vitest';
import { openQueue } from '../../src/index.js';
import { Gate, unique, until } from '../helpers.js';
import { type Bench, LANE } from './bench.js';

/** Opening and closing. */
export function closingContract(bench: Bench): void {
  it('waits for the running job when it closes', async () => {
    const gate = new Gate();
    let ended = false;
    let aborted = false;
    const consumer = await bench.consume(async (_, signal) => {
      await gate.opened;
      aborted = signal.aborted;
      ended = true;
    });
    const [id, next] = [unique(), unique()];
    await bench.queue.add(LANE, { id, data: {} });
    await until(() => consumer.running() === 1);
    await bench.queue.add(LANE, { id: next, data: {} });
    let closed = false;
    const closing = consumer.close().then(() => {
      closed = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(closed).toBe(false);
    gate.open();
    await closing;
    expect(ended).toBe(true);
    expect(aborted).toBe(false);
    expect(await bench.queue.has(LANE, id)).toBe(false);
    expect(await bench.queue.has(LANE, next)).toBe(true);
  });

  it('aborts the running job when it closes by force, and gives it to another consumer', async () => {
    const id = unique();
    const consumer = await bench.consume(
      (_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      { lockMs: 60_000, stalledMs: 60_000 },
    );
    await bench.queue.add(LANE, { id, data: {} });
    await until(() => consumer.running() === 1);
    const graceful = consumer.close();
    await consumer.close({ force: true });
    await graceful;
    expect(consumer.running()).toBe(0);
    expect(await bench.queue.counts(LANE)).toEqual({ waiting: 1, delayed: 0, active: 0, failed: 0 });
    const seen: string[] = [];
    await bench.consume(async (job) => void seen.push(job.id));
    await until(() => seen.length === 1);
    expect(seen).toEqual([id]);
  });

  it('closes by force within seconds when the handler does not listen', async () => {
    const id = unique();
    const consumer = await bench.consume(() => new Promise(() => {}), { lockMs: 60_000, stalledMs: 60_000 });
    await bench.queue.add(LANE, { id, data: {} });
    await until(() => consumer.running() === 1);
    const started = Date.now();
    await consumer.close({ force: true });
    expect(Date.now() - started).toBeLessThan(6_000);
    expect((await bench.queue.counts(LANE)).waiting).toBe(1);
  });

  it('closes by force within seconds while the server is away, and the job is delivered again', async (context) => {
    if (bench.backend.restart === null) return context.skip('the server is not ours to restart');
    const id = unique();
    const consumer = await bench.consume(
      (_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    );
    await bench.queue.add(LANE, { id, data: {} });
    await until(() => consumer.running() === 1);
    await bench.backend.restart(async () => {
      const started = Date.now();
      await consumer.close({ force: true });
      expect(Date.now() - started).toBeLessThan(6_000);
    });
    const seen: string[] = [];
    await until(() => bench.consume(async (job) => void seen.push(job.id)).catch(() => undefined), 15_000);
    await until(() => seen.includes(id), 15_000);
  });

  it('says that it is closed', async () => {
    const other = await openQueue(bench.backend.config);
    await other.ping();
    await other.close();
    await other.close();
    await expect(other.add(LANE, { id: unique(), data: {} })).rejects.toMatchObject({ code: 'unavailable' });
    await expect(other.ping()).rejects.toThrow('the queue is closed');
  });

  it('can be opened by many at once', async () => {
    const queues = await Promise.all(Array.from({ length: 4 }, () => openQueue(bench.backend.config)));
    await Promise.all(queues.map((each) => each.ping()));
    await Promise.all(queues.map((each) => each.close()));
  });
}
