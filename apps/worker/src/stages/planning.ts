import type { CheckpointRow, Claim } from '@amalgam/database';
import { type MergePlan, planMerge } from '@amalgam/engine';
import { findInputs, resultPrefix } from '@amalgam/runtime';
import type { FolderView } from '@amalgam/storage';
import type { WorkerContext } from '../context.js';
import type { Lease } from '../lease.js';
import { patiently } from '../patience.js';
import { fetchInputs, type LocalInputs, remoteBytes, verifyInputs } from './inputs.js';
import { planDigest } from './plan-digest.js';
import type { ProgressReporter } from './progress.js';

/** What the later stages need of an attempt. */
export interface Planned {
  claim: Claim;
  plan: MergePlan;
  /** In the order of `plan.inputs`, as are `folders`. */
  rows: CheckpointRow[];
  folders: FolderView[];
  local: LocalInputs;
  digest: string;
  /** Where the result's objects go. */
  prefix: string;
}

/**
 * Finds the inputs, checks that their bytes are those that were registered, plans the merge from their headers and
 * brings what is remote to this machine.
 */
export async function planStage(
  context: WorkerContext,
  claim: Claim,
  lease: Lease,
  progress: ProgressReporter,
): Promise<Planned> {
  const { config, parts, log, identity } = context;
  const { signal } = lease;
  await progress.enter('planning', 0, claim.merge.bytesTotal);
  const { projectId, recipe, id } = claim.merge;
  const { base, models, rows } = await patiently(() => findInputs(parts, projectId, recipe), {
    signal,
    log,
    what: 'finding the inputs',
  });
  const { memoryBytes, threads } = config.worker;
  const plan = planMerge(recipe, { base, models }, { memoryBytes, ...(threads === undefined ? {} : { threads }) });
  const folders = await verifyInputs(context, plan, rows);
  signal.throwIfAborted();

  const total = remoteBytes(plan, folders);
  const local = await fetchInputs(context, plan, folders, signal, (done) => progress.report(done, total));
  const digest = planDigest(plan, rows, identity.version);
  return { claim, plan, rows, folders, local, digest, prefix: `${resultPrefix(id)}/${digest}` };
}
