import type { Recipe } from '@amalgam/contracts';
import type { AssetRow, Claim } from '@amalgam/database';
import { type MergeInputs, type MergePlan, planMerge, tokenRequest } from '@amalgam/engine';
import { findInputs, readTokens, resultPrefix } from '@amalgam/runtime';
import type { FolderView } from '@amalgam/storage';
import type { TokenPlan } from '@amalgam/tokenizers';
import type { WorkerContext } from '../context.js';
import type { Lease } from '../lease.js';
import { patiently } from '../patience.js';
import { fetchInputs, type LocalInputs, openVerified, remoteBytes, verifyInputs } from './inputs.js';
import { planDigest } from './plan-digest.js';
import type { ProgressReporter } from './progress.js';
import { fetchTasks, type LocalTasks, learnedFrom } from './task-inputs.js';

/** What the later stages need of an attempt. */
export interface Planned {
  claim: Claim;
  plan: MergePlan;
  /** In the order of `plan.inputs`, as are `folders`. */
  rows: AssetRow[];
  folders: FolderView[];
  local: LocalInputs;
  /** The recipe's tasks with their files on this machine, until `local` is released. */
  tasks: LocalTasks;
  /** Of everything that coefficients and result depend on. */
  digest: string;
  /** Where the objects of the merge go; the result's in a folder of their own below it. */
  prefix: string;
}

/**
 * Finds the inputs, checks that their bytes are those that were registered, plans the merge from their headers and
 * brings what is remote to this machine. `folder` is the attempt's own.
 */
export async function planStage(
  context: WorkerContext,
  claim: Claim,
  lease: Lease,
  progress: ProgressReporter,
  folder: string,
): Promise<Planned> {
  const { config, parts, log, identity, device } = context;
  const { signal } = lease;
  await progress.enter('planning', 0, claim.merge.bytesTotal);
  const { projectId, recipe, id } = claim.merge;
  const { base, models, adapters, rows, tasks } = await patiently(() => findInputs(parts, projectId, recipe), {
    signal,
    log,
    what: 'finding the inputs',
  });
  const { memoryBytes, threads } = config.worker;
  const inputs = { base, models, adapters };
  const tokens = await planStoredTokens(context, recipe, inputs, rows);
  const plan = planMerge(recipe, { ...inputs, tokens }, { memoryBytes, ...(threads === undefined ? {} : { threads }) });
  const folders = await verifyInputs(context, plan, rows);
  signal.throwIfAborted();

  const total = remoteBytes(plan, folders);
  const local = await fetchInputs(context, plan, folders, signal, (done) => progress.report(done, total));
  try {
    const digest = planDigest(plan, {
      rows,
      tasks: plan.tuning === null ? [] : learnedFrom(tasks),
      provider: plan.tuning === null ? null : device.provider,
      version: identity.version,
    });
    const fetched = await fetchTasks(context, tasks, plan.recipe, folder, signal);
    return { claim, plan, rows, folders, local, tasks: fetched, digest, prefix: resultPrefix(id) };
  } catch (error) {
    await local.release();
    throw error;
  }
}

/** From files that are those which were registered. */
async function planStoredTokens(
  context: WorkerContext,
  recipe: Recipe,
  inputs: MergeInputs,
  rows: readonly AssetRow[],
): Promise<TokenPlan | null> {
  const request = tokenRequest(recipe, inputs);
  if (request === null) return null;
  const labels = rows.map(({ name }) => name);
  const paths = (input: number) => request.inputs[input]!.files.map(({ path }) => path);
  return readTokens(request, labels, (input) => openVerified(context, rows[input]!, paths(input)));
}
