import { LANES, type Lane } from '@amalgam/contracts';
import { createPostgresBackend, runMigrations, withBackend } from 'bullmq';
import pg from 'pg';
import { errorListener } from './errors.js';
import { queueName } from './lanes.js';
import type { JobData, QueueLog } from './port.js';
import { type LaneQueue, QUEUE_OPTIONS, type Transport } from './transport.js';

/** BullMQ's tables live here, apart from ours: Prisma's migrations refuse a schema that holds foreign tables. */
export const QUEUE_SCHEMA = 'bullmq';

const PRODUCER_CONNECTIONS = 4;
/** Each consumer has one more, for LISTEN. */
const CONSUMER_CONNECTIONS = 3;

const { Queue, Worker } = withBackend(createPostgresBackend);

/**
 * Creates or updates BullMQ's tables. Idempotent, one transaction under an advisory lock, so any number of
 * processes may call it at once. `openQueue` calls it; a deploy step may too.
 */
export async function migratePostgresQueue(url: string, log?: QueueLog): Promise<void> {
  const client = new pg.Client(connectionOf(url));
  client.on('error', errorListener(log, { queue: 'postgres' }));
  await client.connect();
  try {
    await runMigrations(client, QUEUE_SCHEMA);
  } finally {
    await client.end();
  }
}

/** BullMQ on PostgreSQL: one small pool for the producers; a pool and a LISTEN connection for each consumer. */
export async function openPostgres(url: string, log?: QueueLog): Promise<Transport> {
  await migratePostgresQueue(url, log);
  const onError = errorListener(log, { queue: 'postgres' });
  const { options, ...connection } = connectionOf(url);
  // BullMQ uses a given pool as it is, so its schema has to be on the search path already.
  const pool = new pg.Pool({
    ...connection,
    options: `${options ?? ''} -c search_path="${QUEUE_SCHEMA}"`.trim(),
    max: PRODUCER_CONNECTIONS,
    query_timeout: 15_000,
  });
  pool.on('error', onError);

  const queues = new Map<Lane, LaneQueue>();
  try {
    for (const lane of LANES) {
      const queue = new Queue<JobData, void>(queueName(lane), { ...QUEUE_OPTIONS, connection: pool });
      queue.on('error', onError);
      queues.set(lane, queue);
      await queue.waitUntilReady();
    }
  } catch (error) {
    await pool.end();
    throw error;
  }

  return {
    queue: (lane) => queues.get(lane)!,
    worker(lane, process, workerOptions, listeners) {
      const worker = new Worker<JobData, void>(queueName(lane), process, {
        ...workerOptions,
        connection: { ...connectionOf(url), schema: QUEUE_SCHEMA, max: CONSUMER_CONNECTIONS },
      });
      worker.on('error', listeners.error);
      worker.on('failed', (job, error) => listeners.failed(job?.id, error));
      worker.on('stalled', listeners.stalled);
      return { worker, release: () => {} };
    },
    async ping() {
      await pool.query('SELECT 1');
    },
    async close() {
      for (const queue of queues.values()) await queue.close();
      await pool.end();
    },
  };
}

/**
 * A URL's own `options=` would win over the search path that is given beside it, so it is taken out of the URL
 * and the two are joined.
 */
function connectionOf(url: string): { connectionString: string; options?: string } & typeof CONNECTION {
  if (!url.includes('options=')) return { connectionString: url, ...CONNECTION };
  const parsed = new URL(url);
  const options = parsed.searchParams.get('options');
  parsed.searchParams.delete('options');
  return { connectionString: parsed.href, ...CONNECTION, ...(options ? { options } : {}) };
}

const CONNECTION = { connectionTimeoutMillis: 10_000, keepAlive: true, application_name: 'amalgam-queue' };
