import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { openQueue, type QueueJob } from '../../src/index.js';
import { Gate, unique, until } from '../helpers.js';
import { type Bench, LANE } from './bench.js';

const FIXTURE = fileURLToPath(new URL('../fixtures/consumer.mjs', import.meta.url));

/** Handlers, processes and servers that fail. */
export function failureContract(bench: Bench): void {
  it('goes on after a handler throws, even something that is no Error', async () => {
    const seen: string[] = [];
    await bench.consume(async (job) => {
      seen.push(job.id);
      if (seen.length === 1) throw new Error('boom');
      if (seen.length === 2) throw undefined;
    });
    const ids = [unique(), unique(), unique()];
    for (const id of ids) await bench.queue.add(LANE, { id, data: {} });
    await until(() => seen.length === 3);
    await until(async () => (await bench.queue.counts(LANE)).active === 0);
    expect(seen).toEqual(ids);
    expect((await bench.queue.counts(LANE)).failed).toBe(2);
  });

  it('gives the job of a killed process to another consumer', async () => {
    const id = unique();
    await bench.queue.add(LANE, { id, data: { merge: 'x' } });
    const child = spawn(process.execPath, [FIXTURE, JSON.stringify(bench.backend.config), LANE], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
    await until(() => lines.includes(`took ${id}`), 20_000);

    const seen: QueueJob[] = [];
    await bench.consume(async (job) => void seen.push(job));
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    // The living process renews its lock.
    expect(seen).toEqual([]);
    child.kill('SIGKILL');
    await until(() => seen.length === 1, 15_000);
    expect(seen).toEqual([{ id, data: { merge: 'x' } }]);
    await until(async () => !(await bench.queue.has(LANE, id)));
  });

  it('carries on after the server was restarted', async (context) => {
    if (bench.backend.restart === null) return context.skip('the server is not ours to restart');
    const seen = new Set<string>();
    const [runs, ends, waits, delayed] = [unique(), unique(), unique(), unique()];
    const gates = new Map([
      [runs, new Gate()],
      [ends, new Gate()],
    ]);
    const consumer = await bench.consume(
      async (job) => {
        await gates.get(job.id)?.opened;
        seen.add(job.id);
      },
      { concurrency: 2, lockMs: 2_000 },
    );
    await bench.queue.add(LANE, { id: runs, data: {} });
    await bench.queue.add(LANE, { id: ends, data: {} });
    await until(() => consumer.running() === 2);
    await bench.queue.add(LANE, { id: waits, data: {} });
    await bench.queue.add(LANE, { id: delayed, data: {}, delayMs: 500 });

    await bench.backend.restart(async () => {
      await expect(bench.queue.ping()).rejects.toMatchObject({ code: 'unavailable' });
      await expect(bench.queue.add(LANE, { id: unique(), data: {} })).rejects.toMatchObject({ code: 'unavailable' });
      await expect(openQueue(bench.backend.config)).rejects.toMatchObject({ code: 'unavailable' });
      gates.get(ends)!.open();
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    });

    gates.get(runs)!.open();
    await until(() => [runs, ends, waits, delayed].every((id) => seen.has(id)), 30_000);
    // Also the job whose handler ended while nobody could be told is settled, if only by a second delivery.
    await until(async () => !(await bench.queue.has(LANE, ends)), 30_000);
    await until(() => consumer.running() === 0);
    const later = unique();
    await until(
      () =>
        bench.queue.add(LANE, { id: later, data: {} }).then(
          () => true,
          () => false,
        ),
      30_000,
    );
    await until(() => seen.has(later), 30_000);
    await bench.queue.ping();
  });
}
