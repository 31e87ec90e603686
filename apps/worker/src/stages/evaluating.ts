import type { TaskReport } from '@amalgam/contracts';
import { type CachedFile, storeFolder } from '@amalgam/storage';
import { evaluateMerge } from '@amalgam/tuning';
import type { WorkerContext } from '../context.js';
import type { Lease } from '../lease.js';
import type { Merged } from './merging.js';
import type { Planned } from './planning.js';
import type { ProgressReporter } from './progress.js';
import { whileUnchanged } from './unchanged.js';

/** Evaluates the result, as it lies in the store, on the recipe's tasks; null where there are none. */
export async function evaluateStage(
  context: WorkerContext,
  planned: Planned,
  { prefix }: Pick<Merged, 'prefix'>,
  lease: Lease,
  progress: ProgressReporter,
): Promise<TaskReport[] | null> {
  const { plan, tasks, local } = planned;
  if (tasks.jobs.length === 0) return null;
  const { parts, cache, config, device, log } = context;
  const { signal } = lease;
  const total = plan.bytesRead + plan.bytesWritten;
  await progress.enter('evaluating', total, total);
  const stored = storeFolder(parts.store, prefix, 'the result');
  const files = new Map<string, CachedFile>();
  try {
    for (const { file } of plan.merged) {
      const { path } = plan.files[file]!;
      if (!files.has(path)) files.set(path, await cache.acquire(stored, path, { signal }));
    }
    return await whileUnchanged(context, planned, lease, () =>
      evaluateMerge(plan, {
        tasks: tasks.jobs,
        pathOf: local.pathOf,
        resultPathOf: (path) => files.get(path)!.path,
        provider: device.provider,
        threads: config.worker.tuningThreads,
        signal,
        onEvaluated: () => progress.report(total, total),
        onNote: (text, fields) => log.info(fields, text),
      }),
    );
  } finally {
    for (const file of files.values()) await file.release();
  }
}
