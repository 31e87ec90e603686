import { LANES, type Lane } from '@amalgam/contracts';
import { Queue, Worker } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import { errorListener } from './errors.js';
import { queueName } from './lanes.js';
import type { JobData, QueueLog } from './port.js';
import { type LaneQueue, QUEUE_OPTIONS, type Transport } from './transport.js';

/** Back-off between attempts to connect: 250 ms, doubling to 20 s. */
function retryStrategy(times: number): number {
  return Math.min(20_000, 250 * 2 ** Math.min(times - 1, 10));
}

/** A producer fails at once when the server is away: the dispatcher keeps the outbox row and tries again. */
const PRODUCER: RedisOptions = {
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  commandTimeout: 15_000,
  retryStrategy,
};

/** A consumer waits for the server for as long as it takes. */
const CONSUMER: RedisOptions = { maxRetriesPerRequest: null, retryStrategy };

/** BullMQ on Redis: one connection for all producers, two for each consumer (one of them blocks on the lane). */
export async function openRedis(url: string, log?: QueueLog): Promise<Transport> {
  const onError = errorListener(log, { queue: 'redis' });
  const producer = new Redis(url, { ...PRODUCER, connectTimeout: 10_000, lazyConnect: true });
  producer.on('error', onError);
  const queues = new Map<Lane, LaneQueue>();
  try {
    await producer.connect();
    for (const lane of LANES) {
      const queue = new Queue<JobData, void>(queueName(lane), { ...QUEUE_OPTIONS, connection: producer });
      queue.on('error', onError);
      queues.set(lane, queue);
      await queue.waitUntilReady();
    }
  } catch (error) {
    producer.disconnect();
    throw error;
  }

  return {
    queue: (lane) => queues.get(lane)!,
    worker(lane, process, workerOptions, listeners) {
      const connection = new Redis(url, CONSUMER);
      connection.on('error', listeners.error);
      const worker = new Worker<JobData, void>(queueName(lane), process, { ...workerOptions, connection });
      worker.on('error', listeners.error);
      worker.on('failed', (job, error) => listeners.failed(job?.id, error));
      worker.on('stalled', listeners.stalled);
      const blocking = worker.getBackend().blockingClient;
      return {
        worker,
        release() {
          // BullMQ leaves a connection open that it was given, and both while the server is away.
          connection.disconnect();
          blocking?.then(
            (client) => client.disconnect(),
            () => {},
          );
        },
      };
    },
    async ping() {
      await producer.ping();
    },
    async close() {
      for (const queue of queues.values()) await queue.close();
      producer.disconnect();
    },
  };
}
