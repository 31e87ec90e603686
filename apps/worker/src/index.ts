import { join } from 'node:path';
import { LANES, type Lane } from '@amalgam/contracts';
import { CHANNELS } from '@amalgam/database';
import type { ConsumeOptions, Consumer, JobHandler } from '@amalgam/queue';
import type { Config, Parts } from '@amalgam/runtime';
import { LocalCache } from '@amalgam/storage';
import type { Logger, Metrics } from '@amalgam/telemetry';
import type { WorkerContext } from './context.js';
import { DELIVERIES_AT_ONCE, deliveryHandler } from './deliveries.js';
import { chooseDevice } from './device.js';
import { startDispatcher } from './dispatcher.js';
import { newIdentity, startHeartbeat } from './heartbeat.js';
import { settlesWithin } from './patience.js';
import { type Graces, startReconciler } from './reconciler.js';
import { Scratch } from './scratch.js';
import { MergeJobs } from './stages/merge-job.js';

/** After the grace period: how long merges may take to go back to the queue, and then the rest to end. */
const RELEASE_MS = 10_000;
const CLOSE_MS = 5_000;

export interface WorkerOptions {
  config: Config;
  parts: Parts;
  log: Logger;
  metrics: Metrics;
  /** For tests; defaults are those of the standard, and of reconciler.ts. */
  webhookSchedule?: readonly number[];
  graces?: Graces;
  retryMs?: number;
}

export interface RunningWorker {
  id: string;
  /**
   * Takes no more jobs. Running merges may go on for `graceMs` (default: the setting) and then go back to the queue,
   * for another worker to start at once. Resolves within the grace period and some seconds, whatever is down.
   */
  close(options?: { graceMs?: number }): Promise<void>;
}

/**
 * Runs everything that a worker is: merges and webhook deliveries as far as its lanes go, dispatcher, reconciler,
 * heartbeat.
 *
 * @throws AmalgamError `device_unavailable`: see device.ts
 */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const { config, parts, metrics } = options;
  const identity = newIdentity();
  const log = options.log.child({ worker: identity.id });
  const { device, lanes } = await chooseDevice(config.worker, log);
  const scratch = new Scratch(config.home, identity);
  const cache = new LocalCache(join(config.home, 'cache'), config.worker.cacheBytes);
  const context: WorkerContext = {
    config,
    parts,
    log,
    metrics,
    identity,
    device,
    cache,
    scratch,
    retryMs: options.retryMs ?? 2_000,
  };
  await scratch.sweep();
  collectGauges(context);
  metrics.workerInfo.set({ device: device.name, lanes: lanes.join(','), version: identity.version }, 1);

  const jobs = new MergeJobs(context);
  const heartbeat = startHeartbeat({
    workers: parts.database.workers,
    identity,
    lanes,
    device: device.name,
    running: () => {
      void scratch.touch();
      return jobs.running();
    },
    everyMs: config.worker.heartbeatMs,
    log,
  });
  const cancels = await parts.database.listen(CHANNELS.cancel, (mergeId) => jobs.look(mergeId));
  const dispatcher = await startDispatcher(parts.database, parts.queue, log);
  const reconciler = startReconciler(context, options.graces);
  const work: Record<Lane, [JobHandler, ConsumeOptions]> = {
    // What does not tune is merged in threads, whatever else the worker has.
    cpu: [jobs.handleOn('cpu'), { concurrency: config.worker.concurrency }],
    gpu: [jobs.handleOn(device.name), { concurrency: config.worker.gpuConcurrency }],
    delivery: [deliveryHandler(context, options.webhookSchedule), { concurrency: DELIVERIES_AT_ONCE }],
  };
  const consumers = await Promise.all(lanes.map((lane) => parts.queue.consume(lane, ...work[lane])));
  log.info({ home: config.home, lanes, device: device.name }, 'worker started');

  const close = async ({ graceMs = config.worker.graceMs }: { graceMs?: number } = {}) => {
    log.info({ running: jobs.running(), graceMs }, 'worker is stopping');
    await closeConsumers(consumers, jobs, graceMs);
    const rest = async () => {
      await reconciler.stop();
      // Merges that were just given back: the last worker of all must not keep them in the outbox.
      await dispatcher.drain().catch(() => {});
      await dispatcher.stop();
      await cancels.close();
      await heartbeat.stop();
      await parts.database.workers.remove(identity.id);
    };
    if (!(await settlesWithin(rest(), CLOSE_MS))) log.warn('the worker stops without saying good-bye');
    await cache.close();
    await scratch.close();
    log.info('worker stopped');
  };
  let closing: Promise<void> | undefined;
  return {
    id: identity.id,
    close: (closeOptions) => {
      closing ??= close(closeOptions);
      return closing;
    },
  };
}

async function closeConsumers(consumers: Consumer[], jobs: MergeJobs, graceMs: number): Promise<void> {
  const closed = Promise.all(consumers.map((consumer) => consumer.close()));
  if (await settlesWithin(closed, graceMs)) return;
  jobs.stop();
  if (await settlesWithin(closed, RELEASE_MS)) return;
  await Promise.allSettled(consumers.map((consumer) => consumer.close({ force: true })));
}

function collectGauges({ config, metrics, parts }: WorkerContext): void {
  metrics.collect(async () => {
    metrics.outboxPending.set((await parts.database.outbox.backlog()).due);
    metrics.workers.set((await parts.database.workers.listAlive(config.worker.staleMs)).length);
    for (const lane of LANES) {
      const counts = await parts.queue.counts(lane);
      for (const [state, count] of Object.entries(counts)) metrics.queueJobs.set({ lane, state }, count);
    }
  });
}
