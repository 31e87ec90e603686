import { AmalgamError, type Lane } from '@amalgam/contracts';
import { LaneConsumer } from './consumer.js';
import { unavailable } from './errors.js';
import { checkJobId } from './lanes.js';
import type {
  ConsumeOptions,
  Consumer,
  JobHandler,
  JobQueue,
  LaneCounts,
  NewJob,
  QueueConfig,
  QueueLog,
} from './port.js';
import { openPostgres } from './postgres.js';
import { openRedis } from './redis.js';
import type { Transport } from './transport.js';

const PENDING = new Set(['waiting', 'delayed', 'active', 'prioritized', 'waiting-children']);
const FINISHED = new Set(['completed', 'failed']);

/**
 * Connects to the queue; on Postgres it first brings BullMQ's schema up to date. Throws `unavailable` when the
 * server cannot be reached.
 */
export async function openQueue(config: QueueConfig, options: { log?: QueueLog } = {}): Promise<JobQueue> {
  try {
    const open = config.kind === 'redis' ? openRedis : openPostgres;
    return new BullQueue(config.kind, await open(config.url, options.log), options.log);
  } catch (error) {
    throw unavailable(config.kind, error);
  }
}

/** The port over BullMQ; everything that differs between servers is in the transport. */
class BullQueue implements JobQueue {
  readonly kind: QueueConfig['kind'];
  readonly #transport: Transport;
  readonly #log: QueueLog | undefined;
  readonly #consumers = new Set<LaneConsumer>();
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(kind: QueueConfig['kind'], transport: Transport, log?: QueueLog) {
    this.kind = kind;
    this.#transport = transport;
    this.#log = log;
  }

  async add(lane: Lane, job: NewJob): Promise<void> {
    checkJobId(job.id);
    await this.#guard(async () => {
      const queue = this.#transport.queue(lane);
      // BullMQ ignores an id that it has seen, also one that failed and is only kept to be looked at.
      if (FINISHED.has(await queue.getJobState(job.id))) await queue.remove(job.id);
      await queue.add(lane, job.data, {
        jobId: job.id,
        ...(job.delayMs !== undefined && job.delayMs > 0 ? { delay: Math.ceil(job.delayMs) } : {}),
      });
    });
  }

  async consume(lane: Lane, handler: JobHandler, options: ConsumeOptions): Promise<Consumer> {
    return this.#guard(async () => {
      // A worker on Redis would wait for an absent server without a word.
      await this.#transport.ping();
      const consumer = new LaneConsumer(this.#transport, lane, handler, options, this.#log);
      await consumer.ready();
      this.#consumers.add(consumer);
      return consumer;
    });
  }

  async has(lane: Lane, id: string): Promise<boolean> {
    return this.#guard(async () => PENDING.has(await this.#transport.queue(lane).getJobState(id)));
  }

  async counts(lane: Lane): Promise<LaneCounts> {
    return this.#guard(async () => {
      const counts = await this.#transport.queue(lane).getJobCounts('waiting', 'delayed', 'active', 'failed');
      return {
        waiting: counts['waiting'] ?? 0,
        delayed: counts['delayed'] ?? 0,
        active: counts['active'] ?? 0,
        failed: counts['failed'] ?? 0,
      };
    });
  }

  async remove(lane: Lane, id: string): Promise<void> {
    await this.#guard(() => this.#transport.queue(lane).remove(id));
  }

  async ping(): Promise<void> {
    await this.#guard(() => this.#transport.ping());
  }

  async close(): Promise<void> {
    this.#closing ??= (async () => {
      // Until its last job has ended a consumer's handlers may add jobs.
      await Promise.all([...this.#consumers].map((consumer) => consumer.close()));
      this.#closed = true;
      await this.#transport.close();
    })();
    await this.#closing;
  }

  /** A call after close() would wait for ever in BullMQ; every other failure is the server's. */
  async #guard<T>(call: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new AmalgamError('unavailable', 'the queue is closed');
    try {
      return await call();
    } catch (error) {
      throw unavailable(this.kind, error);
    }
  }
}
