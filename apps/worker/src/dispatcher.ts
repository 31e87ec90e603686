import { CHANNELS, type Database, type OutboxRow } from '@amalgam/database';
import type { JobQueue } from '@amalgam/queue';
import type { Logger } from '@amalgam/telemetry';
import { Loop } from './loop.js';

const BATCH = 100;
const POLL_MS = 1_000;

export interface Dispatcher {
  /** Moves what is due now; for the last rows before a worker goes. */
  drain(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Moves outbox rows to the queue, woken by NOTIFY and, for rows whose time has come and for lost notifications, by a
 * poll. Every worker has one; they share the rows out between them. A row that is moved twice is one job: the row's
 * id is the job's.
 */
export async function startDispatcher(database: Database, queue: JobQueue, log: Logger): Promise<Dispatcher> {
  const drain = async () => {
    while ((await database.outbox.drain(BATCH, (rows) => dispatch(queue, rows))) === BATCH);
  };
  const loop = new Loop(drain, { name: 'dispatcher', everyMs: POLL_MS, log }).start();
  const subscription = await database.listen(CHANNELS.outbox, () => loop.wake());
  return {
    drain,
    stop: async () => {
      await subscription.close();
      await loop.stop();
    },
  };
}

async function dispatch(queue: JobQueue, rows: OutboxRow[]): Promise<void> {
  await Promise.all(
    rows.map((row) => {
      const delayMs = Math.max(0, row.availableAt.getTime() - Date.now());
      if (row.kind === 'delivery') {
        return queue.add('delivery', { id: row.id, data: { delivery_id: row.payload.delivery_id }, delayMs });
      }
      const { lane, merge_id, project_id } = row.payload;
      return queue.add(lane, { id: row.id, data: { merge_id, project_id }, delayMs });
    }),
  );
}
