import type { ExecuteOptions, MergePlan, TensorStatistics } from '@amalgam/engine';
import type { WorkerContext } from '../context.js';
import { patiently } from '../patience.js';
import type { Planned } from './planning.js';

export type FinishedShards = NonNullable<ExecuteOptions['finished']>;

/** Shards that earlier attempts at the same plan have stored, and that still lie there whole. */
export async function findFinished(
  { parts, log }: WorkerContext,
  { claim, digest, plan, prefix }: Planned,
  signal: AbortSignal,
): Promise<FinishedShards> {
  const list = () => parts.database.shards.list(claim.merge.id, digest);
  const finished: FinishedShards = new Map();
  for (const shard of await patiently(list, { signal, log, what: 'looking for finished shards' })) {
    const planned = plan.files[shard.index];
    const statistics = toStatistics(shard.stats, plan, shard.index);
    const key = `${prefix}/${shard.path}`;
    if (planned?.path !== shard.path || planned.bytes !== shard.bytes || shard.key !== key) continue;
    if (statistics === null || (await parts.store.head(key))?.bytes !== shard.bytes) continue;
    const { path, bytes, sha256 } = shard;
    finished.set(path, { file: { path, bytes, sha256 }, statistics });
  }
  return finished;
}

/** What `shards.save` kept as JSON, in which NaN is null; null when it is not what the plan's file needs. */
export function toStatistics(stats: unknown, plan: MergePlan, file: number): TensorStatistics[] | null {
  if (!Array.isArray(stats)) return null;
  const kept = stats as TensorStatistics[];
  const names = plan.merged.filter((tensor) => tensor.file === file).map((tensor) => tensor.name);
  if (kept.length !== names.length || !kept.every((tensor, i) => tensor?.name === names[i])) return null;
  return kept.map((tensor) => ({
    ...tensor,
    squares: tensor.squares.map((chunks: (number | null)[]) => chunks.map((square) => square ?? Number.NaN)),
  }));
}
