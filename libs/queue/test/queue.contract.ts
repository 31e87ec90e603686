import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Lane } from '@amalgam/contracts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Consumer, JobQueue, QueueConfig, QueueJob } from '../src/index.js';
import { openQueue } from '../src/index.js';
import { Gate, unique, until, wipe } from './helpers.js';

/** A server under the suite. */
export interface Backend {
  config: QueueConfig;
  /** Null when the server is somebody else's. */
  restart: ((whileDown?: () => Promise<void>) => Promise<void>) | null;
  stop(): Promise<void>;
}

const FIXTURE = fileURLToPath(new URL('./fixtures/consumer.mjs', import.meta.url));
/** Short, so that the tests that wait for a lost lock are short. */
const QUICK = { lockMs: 1_000, stalledMs: 500 };

/** What every backend of the queue must do. */
export function queueContract(name: string, start: () => Promise<Backend>): void {
  describe(`queue contract: ${name}`, () => {
    const lane: Lane = 'cpu';
    const opened: { close(options?: { force?: boolean }): Promise<void> }[] = [];
    let backend: Backend;
    let queue: JobQueue;

    beforeAll(async () => {
      backend = await start();
    });
    afterAll(async () => {
      await backend?.stop();
    });
    beforeEach(async () => {
      queue = await openQueue(backend.config);
      await wipe(backend.config, lane);
    });
    afterEach(async () => {
      for (const consumer of opened.splice(0)) await consumer.close({ force: true });
      await queue.close();
    });

    async function consume(
      handler: (job: QueueJob, signal: AbortSignal) => Promise<void>,
      options: { concurrency?: number; lockMs?: number; stalledMs?: number } = {},
    ): Promise<Consumer> {
      const consumer = await queue.consume(lane, handler, { concurrency: 1, ...QUICK, ...options });
      opened.push(consumer);
      return consumer;
    }

    it('delivers what is added, before and after the consumer starts', async () => {
      const seen: QueueJob[] = [];
      const [first, second] = [unique(), unique()];
      await queue.add(lane, { id: first, data: { merge: first } });
      await consume(async (job) => {
        seen.push(job);
      });
      await queue.add(lane, { id: second, data: { merge: second } });
      await until(() => seen.length === 2);
      expect(seen).toEqual([
        { id: first, data: { merge: first } },
        { id: second, data: { merge: second } },
      ]);
    });

    it('keeps lanes apart', async () => {
      const seen: string[] = [];
      const id = unique();
      await wipe(backend.config, 'gpu');
      await queue.add('gpu', { id, data: {} });
      const gpu = await queue.consume('gpu', async (job) => void seen.push(`gpu ${job.id}`), { concurrency: 1 });
      opened.push(gpu);
      await consume(async (job) => void seen.push(`cpu ${job.id}`));
      await until(() => seen.length === 1);
      expect(seen).toEqual([`gpu ${id}`]);
    });

    it('adds an id once while it exists', async () => {
      const seen: string[] = [];
      const id = unique();
      const gate = new Gate();
      await Promise.all(Array.from({ length: 10 }, () => queue.add(lane, { id, data: {} })));
      expect((await queue.counts(lane)).waiting).toBe(1);
      await consume(async (job) => {
        seen.push(job.id);
        await gate.opened;
      });
      await until(() => seen.length === 1);
      await queue.add(lane, { id, data: {} });
      expect(await queue.counts(lane)).toEqual({ waiting: 0, delayed: 0, active: 1, failed: 0 });
      gate.open();
      await until(async () => !(await queue.has(lane, id)));
      expect(seen).toEqual([id]);
    });

    it('adds an id again after it was completed or failed', async () => {
      const id = unique();
      let runs = 0;
      await consume(async () => {
        runs++;
        if (runs === 2) throw new Error('the second time it fails');
      });
      for (const run of [1, 2, 3]) {
        await queue.add(lane, { id, data: {} });
        await until(() => runs === run);
        await until(async () => !(await queue.has(lane, id)));
        expect((await queue.counts(lane)).failed).toBe(run === 2 ? 1 : 0);
      }
    });

    it('holds a delayed job back', async () => {
      const id = unique();
      let at = 0;
      await consume(async () => {
        at = Date.now();
      });
      const added = Date.now();
      await queue.add(lane, { id, data: {}, delayMs: 700 });
      expect(await queue.has(lane, id)).toBe(true);
      expect((await queue.counts(lane)).delayed).toBe(1);
      await until(() => at > 0);
      // A timer may fire a millisecond early.
      expect(at - added).toBeGreaterThanOrEqual(695);
      expect(at - added).toBeLessThan(5_000);
    });

    it('runs as many jobs at once as asked, and no more', async () => {
      let most = 0;
      let now = 0;
      let done = 0;
      const consumer = await consume(
        async () => {
          most = Math.max(most, ++now);
          await new Promise((resolve) => setTimeout(resolve, 30));
          now--;
          done++;
        },
        { concurrency: 3 },
      );
      for (let i = 0; i < 15; i++) await queue.add(lane, { id: unique(), data: {} });
      await until(() => done === 15);
      expect(most).toBe(3);
      await until(() => consumer.running() === 0);
    });

    it('goes on after a handler throws, even something that is no Error', async () => {
      const seen: string[] = [];
      await consume(async (job) => {
        seen.push(job.id);
        if (seen.length === 1) throw new Error('boom');
        if (seen.length === 2) throw undefined;
      });
      const ids = [unique(), unique(), unique()];
      for (const id of ids) await queue.add(lane, { id, data: {} });
      await until(() => seen.length === 3);
      await until(async () => (await queue.counts(lane)).active === 0);
      expect(seen).toEqual(ids);
      expect((await queue.counts(lane)).failed).toBe(2);
    });

    it('answers has, counts and remove', async () => {
      const [waiting, delayed] = [unique(), unique()];
      expect(await queue.has(lane, waiting)).toBe(false);
      expect(await queue.counts(lane)).toEqual({ waiting: 0, delayed: 0, active: 0, failed: 0 });
      await queue.add(lane, { id: waiting, data: {} });
      await queue.add(lane, { id: delayed, data: {}, delayMs: 60_000 });
      expect(await queue.has(lane, waiting)).toBe(true);
      expect(await queue.has(lane, delayed)).toBe(true);
      expect(await queue.counts(lane)).toEqual({ waiting: 1, delayed: 1, active: 0, failed: 0 });
      await queue.remove(lane, waiting);
      await queue.remove(lane, delayed);
      await queue.remove(lane, unique());
      expect(await queue.has(lane, waiting)).toBe(false);
      expect(await queue.counts(lane)).toEqual({ waiting: 0, delayed: 0, active: 0, failed: 0 });
    });

    it('leaves an active job alone when it is removed', async () => {
      const id = unique();
      const gate = new Gate();
      const consumer = await consume(() => gate.opened);
      await queue.add(lane, { id, data: {} });
      await until(() => consumer.running() === 1);
      await queue.remove(lane, id);
      expect(await queue.has(lane, id)).toBe(true);
      gate.open();
      await until(async () => !(await queue.has(lane, id)));
    });

    it('delivers 500 jobs to two consumers, each once', async () => {
      const ids = Array.from({ length: 500 }, unique);
      const seen: string[] = [];
      const share = [0, 0];
      for (const index of [0, 1]) {
        await consume(
          async (job) => {
            seen.push(job.id);
            share[index]!++;
          },
          { concurrency: 4, lockMs: 15_000 },
        );
      }
      for (let from = 0; from < ids.length; from += 20) {
        await Promise.all(ids.slice(from, from + 20).map((id) => queue.add(lane, { id, data: {} })));
      }
      await until(() => seen.length >= 500, 60_000);
      await until(async () => (await queue.counts(lane)).active === 0);
      expect([...seen].sort()).toEqual([...ids].sort());
      expect(Math.min(...share)).toBeGreaterThan(0);
    });

    it('gives the job of a killed process to another consumer', async () => {
      const id = unique();
      await queue.add(lane, { id, data: { merge: 'x' } });
      const child = spawn(process.execPath, [FIXTURE, JSON.stringify(backend.config), lane], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const lines: string[] = [];
      createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
      await until(() => lines.includes(`took ${id}`), 20_000);

      const seen: QueueJob[] = [];
      await consume(async (job) => void seen.push(job));
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      // The living process renews its lock.
      expect(seen).toEqual([]);
      child.kill('SIGKILL');
      await until(() => seen.length === 1, 15_000);
      expect(seen).toEqual([{ id, data: { merge: 'x' } }]);
      await until(async () => !(await queue.has(lane, id)));
    });

    it('carries on after the server was restarted', async (context) => {
      if (backend.restart === null) return context.skip('the server is not ours to restart');
      const seen = new Set<string>();
      const gate = new Gate();
      const [running, waiting] = [unique(), unique()];
      const consumer = await consume(
        async (job) => {
          if (job.id === running) await gate.opened;
          seen.add(job.id);
        },
        { lockMs: 15_000 },
      );
      await queue.add(lane, { id: running, data: {} });
      await until(() => consumer.running() === 1);
      await queue.add(lane, { id: waiting, data: {} });
      await queue.add(lane, { id: `${waiting}-delayed`, data: {}, delayMs: 500 });

      await backend.restart(async () => {
        await expect(queue.ping()).rejects.toMatchObject({ code: 'unavailable' });
        await expect(queue.add(lane, { id: unique(), data: {} })).rejects.toMatchObject({ code: 'unavailable' });
        await expect(openQueue(backend.config)).rejects.toMatchObject({ code: 'unavailable' });
        await new Promise((resolve) => setTimeout(resolve, 1_000));
      });

      gate.open();
      await until(() => seen.has(running) && seen.has(waiting) && seen.has(`${waiting}-delayed`), 30_000);
      const later = unique();
      await until(
        () =>
          queue.add(lane, { id: later, data: {} }).then(
            () => true,
            () => false,
          ),
        30_000,
      );
      await until(() => seen.has(later), 30_000);
      await queue.ping();
    });

    it('waits for the running job when it closes', async () => {
      const gate = new Gate();
      let ended = false;
      let aborted = false;
      const consumer = await consume(async (_, signal) => {
        await gate.opened;
        aborted = signal.aborted;
        ended = true;
      });
      const [id, next] = [unique(), unique()];
      await queue.add(lane, { id, data: {} });
      await until(() => consumer.running() === 1);
      await queue.add(lane, { id: next, data: {} });
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
      expect(await queue.has(lane, id)).toBe(false);
      expect(await queue.has(lane, next)).toBe(true);
    });

    it('aborts the running job when it closes by force, and gives it to another consumer', async () => {
      const id = unique();
      const consumer = await consume(
        (_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        { lockMs: 60_000, stalledMs: 60_000 },
      );
      await queue.add(lane, { id, data: {} });
      await until(() => consumer.running() === 1);
      const graceful = consumer.close();
      await consumer.close({ force: true });
      await graceful;
      expect(consumer.running()).toBe(0);
      expect(await queue.counts(lane)).toEqual({ waiting: 1, delayed: 0, active: 0, failed: 0 });
      const seen: string[] = [];
      await consume(async (job) => void seen.push(job.id));
      await until(() => seen.length === 1);
      expect(seen).toEqual([id]);
    });

    it('closes by force within seconds when the handler does not listen', async () => {
      const id = unique();
      const consumer = await consume(() => new Promise(() => {}), { lockMs: 60_000, stalledMs: 60_000 });
      await queue.add(lane, { id, data: {} });
      await until(() => consumer.running() === 1);
      const started = Date.now();
      await consumer.close({ force: true });
      expect(Date.now() - started).toBeLessThan(6_000);
      expect((await queue.counts(lane)).waiting).toBe(1);
    });

    it('refuses ids that the queue cannot carry', async () => {
      for (const id of ['', '7', '-7', 'a:b']) {
        await expect(queue.add(lane, { id, data: {} })).rejects.toThrow(TypeError);
      }
    });

    it('says that it is closed', async () => {
      const other = await openQueue(backend.config);
      await other.ping();
      await other.close();
      await other.close();
      await expect(other.add(lane, { id: unique(), data: {} })).rejects.toMatchObject({ code: 'unavailable' });
      await expect(other.ping()).rejects.toThrow('the queue is closed');
    });

    it('can be opened by many at once', async () => {
      const queues = await Promise.all(Array.from({ length: 4 }, () => openQueue(backend.config)));
      await Promise.all(queues.map((each) => each.ping()));
      await Promise.all(queues.map((each) => each.close()));
    });
  });
}
