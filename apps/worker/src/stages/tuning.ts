import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type TunedMerge, type TuningState, tuneMerge } from '@amalgam/tuning';
import type { WorkerContext } from '../context.js';
import type { Lease } from '../lease.js';
import { canonical } from './plan-digest.js';
import type { Planned } from './planning.js';
import type { ProgressReporter } from './progress.js';
import { StateKeeper } from './tuning-state.js';
import { whileUnchanged } from './unchanged.js';

/**
 * Learns the coefficients of methods that do so, on this worker's device; null for the others. The state goes to the
 * object store every few seconds: an attempt that follows a lost one goes on from there, and ends with the same numbers.
 */
export async function tuneStage(
  context: WorkerContext,
  planned: Planned,
  lease: Lease,
  progress: ProgressReporter,
  folder: string,
): Promise<TunedMerge | null> {
  const { plan, tasks, local } = planned;
  if (plan.tuning === null) return null;
  const { config, device, log } = context;
  const { signal } = lease;
  const { steps } = plan.tuning.settings;
  const total = plan.bytesRead + plan.bytesWritten;
  await progress.enter('tuning', 0, total);
  const keeper = new StateKeeper(context, planned);
  const resume = await keeper.load();
  if (resume !== null) log.info({ step: resume.step, steps }, 'the tuning goes on where an earlier attempt was');

  const workDir = join(folder, 'tuning');
  await mkdir(workDir, { recursive: true });
  try {
    return await whileUnchanged(context, planned, lease, () =>
      tuneMerge(plan, {
        tasks: tasks.jobs,
        pathOf: local.pathOf,
        workDir,
        provider: device.provider,
        threads: config.worker.tuningThreads,
        resume,
        signal,
        // Of the task vectors, which are read and written before the first step.
        onProgress: (done, all) => progress.report(done, all),
        onStep: (step, losses) => {
          const loss = losses.reduce((sum, value) => sum + value, 0);
          progress.report(0, total, { step, steps, loss, losses });
        },
        onState: (state: TuningState) => keeper.save(state),
        onNote: (text, fields) => log.info(fields, text),
      }),
    );
  } finally {
    await keeper.settle();
    await rm(workDir, { recursive: true, force: true });
  }
}

/** Digest of a plan with the coefficients that it merges with. */
export function withCoefficients(digest: string, tuned: TunedMerge | null): string {
  if (tuned === null) return digest;
  return createHash('sha256')
    .update(canonical({ digest, coefficients: tuned.coefficients }))
    .digest('hex');
}
