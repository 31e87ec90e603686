import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AmalgamError, type Report } from '@amalgam/contracts';
import type { Contents } from '@amalgam/database';
import { type LearnedFrom, type MergePlan, sideFilesOf, type WrittenFile, writeArtifacts } from '@amalgam/engine';
import { describeFolder } from '@amalgam/runtime';
import { storeFolder } from '@amalgam/storage';
import { digestLearned } from '@amalgam/tuning';
import type { WorkerContext } from '../context.js';
import type { Lease } from '../lease.js';
import { patiently } from '../patience.js';
import { openVerified, verifyInputs } from './inputs.js';
import type { Merged } from './merging.js';
import type { Planned } from './planning.js';
import type { ProgressReporter } from './progress.js';
import { putOrAdopt } from './result-objects.js';

/**
 * Stores what a result has besides weights, reads the result back, and ends the merge: the row that names the objects
 * is the last thing written.
 */
export async function publishStage(
  context: WorkerContext,
  planned: Planned,
  merged: Merged,
  lease: Lease,
  progress: ProgressReporter,
  outDir: string,
): Promise<void> {
  const { parts, log } = context;
  const { plan, rows, claim } = planned;
  const { result, digestOf, prefix } = merged;
  const total = plan.bytesRead + plan.bytesWritten;
  await progress.enter('publishing', total, total);
  const folders = await verifyInputs(context, plan, rows);
  await keepInputDigests(context, planned, merged, lease.signal);

  const name = claim.merge.name ?? `${plan.recipe.method} of ${plan.inputs.map((input) => input.name).join(', ')}`;
  // Of merging there are finer times already.
  const { merging: _, publishing: __, ...around } = progress.seconds;
  const { total: merging = 0, ...finer } = result.report.seconds;
  const all = Object.values(around).reduce((sum, seconds) => sum + seconds, merging);
  result.report.seconds = { ...around, ...finer, total: all };
  const learned = plan.tuning === null ? {} : { learned: await learnedFrom(planned, lease.signal) };
  const folderOf = (input: number) => folders[input]!;
  const small = await writeArtifacts(plan, result, { outDir, folderOf, digestOf, ...learned, name });
  // Read above: looked at afterwards, so that what was read is what was registered.
  const sides = sideFilesOf(plan);
  for (const input of new Set(sides.map((side) => side.input))) {
    const own = sides.filter((side) => side.input === input).map(({ path }) => path);
    await openVerified(context, rows[input]!, own);
  }
  const stored: WrittenFile[] = [...result.files];
  let report: Report = result.report;
  for (const { path } of small) {
    lease.signal.throwIfAborted();
    const bytes = await putOrAdopt(parts.store, `${prefix}/${path}`, await readFile(join(outDir, path)));
    stored.push({ path, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
    // Times differ between attempts: what is kept must be the file that lies there.
    if (path === 'report.json') report = JSON.parse(new TextDecoder().decode(bytes)) as Report;
  }

  const contents = await readBack(context, plan, prefix, stored);
  await progress.finish();
  lease.signal.throwIfAborted();
  const finish = () =>
    parts.database.attempts.finish(lease.attemptId, {
      state: 'succeeded',
      checkpoint: { ...contents, name: name.slice(0, 200), storePrefix: prefix, metadata: claim.merge.metadata },
      report,
    });
  if (await patiently(finish, { signal: lease.signal, log, what: 'ending the merge' })) return;
  lease.lose();
  lease.signal.throwIfAborted();
}

/** Tasks' files by digest, when these are still those that were registered. */
async function learnedFrom({ tasks }: Planned, signal: AbortSignal): Promise<LearnedFrom[]> {
  const learned = await digestLearned(tasks.jobs, signal);
  await tasks.verify();
  return learned;
}

/** The inputs were verified after they were read, so the digests are those of what was registered. */
async function keepInputDigests(
  { parts, log }: WorkerContext,
  { plan, rows, claim }: Planned,
  { digestOf }: Merged,
  signal: AbortSignal,
): Promise<void> {
  for (const [input, { checkpoint }] of plan.inputs.entries()) {
    for (const path of checkpoint.weightFiles) {
      const row = rows[input]!;
      const sha256 = digestOf(input, path);
      if (sha256 === null || row.files.find((file) => file.path === path)?.sha256 === sha256) continue;
      const keep = () => parts.database.checkpoints.setFileDigest(claim.merge.projectId, row.id, path, { sha256 });
      await patiently(keep, { signal, log, what: 'keeping the digest of an input' });
    }
  }
}

/** The result as it lies in the store, from its listing and its headers. */
async function readBack(
  { parts }: WorkerContext,
  plan: MergePlan,
  prefix: string,
  stored: WrittenFile[],
): Promise<Contents> {
  const digests = new Map(stored.map(({ path, sha256 }) => [path, sha256 ?? '']));
  const contents = await describeFolder(storeFolder(parts.store, prefix, 'the result'), digests);
  const found = new Map(contents.files.map((file) => [file.path, file.bytes]));
  for (const { path, bytes } of stored) {
    if (found.get(path) === bytes) continue;
    throw new AmalgamError('storage_error', `${path} was stored with ${bytes} bytes and does not lie there now`);
  }
  const own = plan.files.filter(({ path }) => !path.startsWith('heads/'));
  const tensors = own.reduce((sum, file) => sum + file.tensors, 0);
  if (contents.tensors !== tensors) {
    throw new AmalgamError('storage_error', `the stored result has ${contents.tensors} tensors, not ${tensors}`);
  }
  return { ...contents, files: contents.files.filter(({ path }) => digests.has(path)) };
}
