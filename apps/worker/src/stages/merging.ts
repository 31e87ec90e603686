import { join } from 'node:path';
import { type ExecuteResult, executeMerge, type TensorStatistics, type WrittenFile } from '@amalgam/engine';
import type { TunedMerge } from '@amalgam/tuning';
import type { WorkerContext } from '../context.js';
import type { Lease } from '../lease.js';
import { patiently } from '../patience.js';
import { findFinished } from './finished-shards.js';
import { verifyInputs } from './inputs.js';
import type { Planned } from './planning.js';
import type { ProgressReporter } from './progress.js';
import { putShard } from './result-objects.js';
import { withCoefficients } from './tuning.js';

/** Digest of an input's file; null where nobody computed it. */
export type DigestOf = (input: number, file: string) => string | null;

export interface Merged {
  result: ExecuteResult;
  digestOf: DigestOf;
  /** Where the result's objects lie. */
  prefix: string;
}

/**
 * Merges into the scratch folder. Every finished shard goes to the object store and is noted, while the next one is
 * being merged; what an earlier attempt has finished is not made again.
 */
export async function mergeStage(
  context: WorkerContext,
  before: Planned,
  tuned: TunedMerge | null,
  lease: Lease,
  progress: ProgressReporter,
  outDir: string,
): Promise<Merged> {
  const digest = withCoefficients(before.digest, tuned);
  const planned: Planned = { ...before, digest, prefix: `${before.prefix}/${digest}` };
  const { plan, local } = planned;
  const { signal } = lease;
  const finished = await findFinished(context, planned, signal);
  const stored = [...finished.values()].reduce((sum, { file }) => sum + file.bytes, 0);
  const total = plan.bytesRead + plan.bytesWritten;
  await progress.enter('merging', stored, total);
  if (finished.size > 0) context.log.info({ shards: finished.size }, 'shards of an earlier attempt are used again');

  const handovers: Promise<void>[] = [];
  const digestInputs = undigested(planned);
  try {
    const result = await executeMerge(plan, {
      pathOf: local.pathOf,
      outDir,
      digestInputs,
      signal,
      finished,
      ...(tuned !== null && { coefficients: tuned.coefficients }),
      onProgress: (done) => progress.report(Math.min(stored + done, total), total),
      onFile: (file, statistics) => {
        const handover = storeShard(context, planned, lease, join(outDir, file.path), file, statistics);
        handovers.push(handover);
        return handover;
      },
    });
    const computed = new Map(digestInputs.map(({ input, file }, i) => [`${input}/${file}`, result.inputDigests[i]]));
    const digestOf: DigestOf = (input, file) => computed.get(`${input}/${file}`) ?? storedDigest(planned, input, file);
    return { result, digestOf, prefix: planned.prefix };
  } catch (error) {
    // An input that was removed or replaced underneath shows itself in many ways; this is the one to tell the user.
    if (!signal.aborted) await verifyInputs(context, plan, planned.rows);
    throw error;
  } finally {
    // A merge that stops early does not wait for them, but nothing may be stored after the attempt has ended.
    await Promise.allSettled(handovers);
  }
}

async function storeShard(
  { parts, log }: WorkerContext,
  { digest, plan, prefix }: Planned,
  lease: Lease,
  localFile: string,
  file: WrittenFile,
  statistics: TensorStatistics[],
): Promise<void> {
  const { signal, attemptId } = lease;
  const key = `${prefix}/${file.path}`;
  await putShard(parts.store, key, localFile, file, signal);
  const shard = {
    index: plan.files.findIndex(({ path }) => path === file.path),
    path: file.path,
    key,
    bytes: file.bytes,
    sha256: file.sha256 ?? '',
    stats: statistics,
  };
  const save = () => parts.database.shards.save(attemptId, digest, shard);
  if (await patiently(save, { signal, log, what: 'noting a finished shard' })) return;
  lease.lose();
  signal.throwIfAborted();
}

/** Weight files whose SHA-256 nobody knows yet: those registered by URI and used for the first time. */
function undigested(planned: Planned): { input: number; file: string }[] {
  return planned.plan.inputs.flatMap(({ checkpoint }, input) =>
    checkpoint.weightFiles
      .filter((file) => storedDigest(planned, input, file) === null)
      .map((file) => ({ input, file })),
  );
}

function storedDigest({ rows }: Planned, input: number, file: string): string | null {
  return rows[input]?.files.find(({ path }) => path === file)?.sha256 ?? null;
}
