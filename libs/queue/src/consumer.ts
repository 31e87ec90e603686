import type { Lane } from '@amalgam/contracts';
import { type Job, WaitingError } from 'bullmq';
import { errorListener, messageOf } from './errors.js';
import type { ConsumeOptions, Consumer, JobData, JobHandler, QueueLog } from './port.js';
import type { Transport, TransportWorker } from './transport.js';

/** After a forced close: how long handlers may take to end, and then how long the queue may take to note it. */
const HANDLER_GRACE_MS = 2_000;
const QUEUE_GRACE_MS = 2_000;

/**
 * A job whose consumer died is delivered again this often before it is failed. The database counts attempts and
 * gives up long before; this only ends what even the database does not know.
 */
const MAX_STALLED = 1_000;

/** One BullMQ worker on one lane, with closing as the port promises it. */
export class LaneConsumer implements Consumer {
  readonly #active = new Set<AbortController>();
  readonly #handler: JobHandler;
  readonly #lane: Lane;
  readonly #log: QueueLog | undefined;
  readonly #worker: TransportWorker;
  /** Rejects when a forced close has lost its patience with the handlers. */
  readonly #abandoned: Promise<never>;
  #abandon: () => void = () => {};
  #forced = false;
  #closing: Promise<void> | undefined;

  constructor(transport: Transport, lane: Lane, handler: JobHandler, options: ConsumeOptions, log?: QueueLog) {
    this.#lane = lane;
    this.#handler = handler;
    this.#log = log;
    this.#abandoned = new Promise((_, reject) => {
      this.#abandon = () => reject(new Error('the handler did not end in time after a forced close'));
    });
    this.#abandoned.catch(() => {});
    this.#worker = transport.worker(
      lane,
      (job, token) => this.#run(job, token),
      {
        concurrency: options.concurrency,
        lockDuration: options.lockMs ?? 15_000,
        stalledInterval: options.stalledMs ?? 10_000,
        maxStalledCount: MAX_STALLED,
        // How soon a worker tries again when the server refused its connection.
        runRetryDelay: 1_000,
      },
      {
        error: errorListener(log, { lane }),
        failed: (id, error) => log?.warn({ lane, job: id, error: messageOf(error) }, 'job failed'),
        stalled: (id) => log?.warn({ lane, job: id }, 'job of a lost consumer goes to another one'),
      },
    );
  }

  /** Resolves when the lane is being consumed. */
  async ready(): Promise<void> {
    try {
      await this.#worker.worker.waitUntilReady();
    } catch (error) {
      await this.close({ force: true });
      throw error;
    }
  }

  running(): number {
    return this.#active.size;
  }

  async close({ force = false }: { force?: boolean } = {}): Promise<void> {
    this.#closing ??= this.#worker.worker.close().finally(() => this.#worker.release());
    if (!force) return this.#closing;

    if (!this.#forced) {
      this.#forced = true;
      for (const controller of this.#active) controller.abort(new Error('the consumer is closing'));
    }
    if (await settlesWithin(this.#closing, HANDLER_GRACE_MS)) return this.#closing;
    this.#abandon();
    if (await settlesWithin(this.#closing, QUEUE_GRACE_MS)) return this.#closing;
    // The server is away. The job stays locked until the lock runs out and is then delivered again.
    this.#closing.catch(() => {});
    this.#closing = Promise.resolve();
    this.#worker.release();
  }

  async #run(job: Job<JobData, void>, token?: string): Promise<void> {
    // Fetched in the moment of the forced close.
    if (this.#forced) return await putBack(job, token);

    const controller = new AbortController();
    this.#active.add(controller);
    try {
      const handled = this.#handler({ id: job.id ?? '', data: job.data }, controller.signal);
      await Promise.race([handled, this.#abandoned]);
    } catch (error) {
      if (this.#forced) {
        this.#log?.warn({ lane: this.#lane, job: job.id, error: messageOf(error) }, 'job goes back to its lane');
        return await putBack(job, token);
      }
      // BullMQ reads the message of whatever was thrown.
      throw error instanceof Error ? error : new Error(String(error));
    } finally {
      this.#active.delete(controller);
    }
  }
}

/** Makes an active job waiting again; the error tells BullMQ that the job is neither completed nor failed. */
async function putBack(job: Job<JobData, void>, token?: string): Promise<never> {
  await job.moveToWait(token);
  throw new WaitingError();
}

async function settlesWithin(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([
      promise.then(
        () => true,
        () => true,
      ),
      late,
    ]);
  } finally {
    clearTimeout(timer);
  }
}
