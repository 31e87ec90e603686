import { ASSET_KINDS } from '@amalgam/contracts';
import { assetPrefix } from '@amalgam/runtime';
import type { WorkerContext } from './context.js';
import { Loop } from './loop.js';
import { OrphanSweep } from './orphans.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Once they have ended: docs/webhooks.md says so. */
const DELIVERIES_KEPT_MS = 30 * 24 * HOUR_MS;

/** How long what could still be of use is left alone. */
export interface Graces {
  /** A merge or delivery that the queue should have and does not. */
  dispatchMs: number;
  /** Objects of merges that ended without a result, and of uploads that were deleted. */
  orphansMs: number;
  /** Pause between two looks at a page of objects. */
  orphansEveryMs: number;
}

export const GRACES: Graces = { dispatchMs: 15_000, orphansMs: 24 * HOUR_MS, orphansEveryMs: MINUTE_MS };

interface Step {
  name: string;
  everyMs: number;
  /** Returns how much was put right. */
  run: () => Promise<number>;
}

/**
 * Puts right what crashes and lost queues leave behind. Every worker has one, an advisory lock lets one work at a time;
 * the steps are safe without it, which only saves work. A step that fails does not keep the others from running.
 */
export function startReconciler(context: WorkerContext, graces: Graces = GRACES): Loop {
  const { database } = context.parts;
  const steps = stepsOf(context, graces);
  const ranAt = new Map<string, number>();
  const turn = async () => {
    await database.reconciler.exclusively(async () => {
      for (const step of steps) {
        if (Date.now() - (ranAt.get(step.name) ?? Number.NEGATIVE_INFINITY) < step.everyMs) continue;
        ranAt.set(step.name, Date.now());
        await runStep(context, step);
      }
    });
  };
  return new Loop(turn, { name: 'reconciler', everyMs: context.config.worker.reconcileMs, log: context.log }).start();
}

async function runStep({ log }: WorkerContext, step: Step): Promise<void> {
  try {
    const count = await step.run();
    if (count > 0) log.info({ step: step.name, count }, 'reconciled');
  } catch (error) {
    log.warn({ err: error, step: step.name }, 'a step of the reconciler failed');
  }
}

function stepsOf(context: WorkerContext, graces: Graces): Step[] {
  const { config, parts, scratch } = context;
  const { database, store } = parts;
  const { staleMs, maxAttempts } = config.worker;
  const orphans = new OrphanSweep(database, store, graces.orphansMs);
  return [
    {
      // Those that the user wants canceled are canceled by it.
      name: 'merges of lost workers',
      everyMs: 0,
      run: async () => {
        const { requeued, failed, canceled } = await database.reconciler.releaseLost(staleMs, maxAttempts);
        return requeued.length + failed.length + canceled.length;
      },
    },
    { name: 'merges that the queue lost', everyMs: 0, run: () => redispatchMerges(context, graces.dispatchMs) },
    { name: 'deliveries that the queue lost', everyMs: 0, run: () => redispatchDeliveries(context, graces.dispatchMs) },
    { name: 'uploads given up', everyMs: MINUTE_MS, run: () => removeExpiredUploads(context) },
    {
      name: 'bytes of deleted uploads',
      everyMs: graces.orphansEveryMs,
      run: () => removeDeletedUploads(context, graces.orphansMs),
    },
    { name: 'results that nobody names', everyMs: graces.orphansEveryMs, run: () => orphans.turn() },
    { name: 'unfinished writes', everyMs: HOUR_MS, run: () => store.abortStaleUploads(24 * HOUR_MS) },
    { name: 'scratch of dead workers', everyMs: MINUTE_MS, run: () => scratch.sweep() },
    { name: 'dead workers', everyMs: MINUTE_MS, run: () => database.workers.purge(Math.max(10 * staleMs, MINUTE_MS)) },
    { name: 'dispatched outbox rows', everyMs: HOUR_MS, run: () => database.outbox.purge(24 * HOUR_MS) },
    { name: 'old deliveries', everyMs: HOUR_MS, run: () => database.deliveries.purge(DELIVERIES_KEPT_MS) },
    {
      name: 'positions of events',
      everyMs: MINUTE_MS,
      run: async () => {
        await database.events.placeAll();
        return 0; // nothing was wrong
      },
    },
    { name: 'old idempotency keys', everyMs: HOUR_MS, run: () => database.idempotency.purge(48 * HOUR_MS) },
  ];
}

async function redispatchMerges({ parts: { database, queue } }: WorkerContext, graceMs: number): Promise<number> {
  let count = 0;
  for (const { id } of await database.reconciler.queuedWithoutDispatch(graceMs)) {
    const waits = async (job: string) => (await queue.has('cpu', job)) || (await queue.has('gpu', job));
    if (await someDispatch(await database.reconciler.dispatchesOf(id), waits)) continue;
    if (await database.reconciler.redispatch(id)) count++;
  }
  return count;
}

async function redispatchDeliveries({ parts: { database, queue } }: WorkerContext, graceMs: number): Promise<number> {
  let count = 0;
  for (const id of await database.deliveries.due(graceMs)) {
    // Outbox rows are found by their subject, whatever it is.
    const jobs = await database.reconciler.dispatchesOf(id);
    if (await someDispatch(jobs, (job) => queue.has('delivery', job))) continue;
    if (await database.deliveries.redispatch(id)) count++;
  }
  return count;
}

/** Newest first: it is the likeliest to be there still. */
async function someDispatch(jobs: string[], waits: (job: string) => Promise<boolean>): Promise<boolean> {
  for (const job of jobs.toReversed()) if (await waits(job)) return true;
  return false;
}

async function removeExpiredUploads({ parts: { database, store } }: WorkerContext): Promise<number> {
  let count = 0;
  for (const kind of ASSET_KINDS) {
    const rows = await database.assets(kind).expirePending();
    for (const { id, storePrefix } of rows) await store.deletePrefix(storePrefix ?? assetPrefix(kind, id));
    count += rows.length;
  }
  return count;
}

/**
 * The bytes of an upload are removed when it is deleted or given up. Here they are once more, later: the store may have been away
 * then, and a file that was still being put together appears after that.
 */
async function removeDeletedUploads({ parts: { database, store } }: WorkerContext, graceMs: number): Promise<number> {
  let count = 0;
  for (const { id, storePrefix } of await database.reconciler.deletedUploads(graceMs)) {
    if ((await store.deletePrefix(storePrefix)) > 0) count++;
    await database.reconciler.bytesRemoved(id);
  }
  return count;
}
