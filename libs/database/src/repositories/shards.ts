import type { Context } from '../context.js';
import { toJsonText, toNumber } from '../json.js';

/** A finished output file of a merge; the plan's digest says for which plan it is good. */
export interface Shard {
  index: number;
  path: string;
  /** Where it lies in the object store. */
  key: string;
  bytes: number;
  sha256: string;
  /** What the engine needs to report on it without reading it again. */
  stats: unknown;
}

export interface NewShard extends Omit<Shard, 'stats'> {
  stats?: object | null;
}

export class ShardRepository {
  constructor(private readonly context: Context) {}

  /** Keeps a finished shard for later attempts. False when the attempt is no longer the merge's current one. */
  async save(attemptId: string, planDigest: string, shard: NewShard): Promise<boolean> {
    const { index, path, key, bytes, sha256 } = shard;
    const written = await this.context.prisma.$executeRaw`
      INSERT INTO merge_shards (merge_id, plan_digest, index, path, key, bytes, sha256, stats)
      SELECT merge_id, ${planDigest}, ${index}::int, ${path}, ${key}, ${bytes}::bigint, ${sha256}, ${toJsonText(shard.stats)}::json
      FROM attempts WHERE id = ${attemptId} AND state = 'running'
      ON CONFLICT (merge_id, plan_digest, index) DO UPDATE SET
        path = EXCLUDED.path, key = EXCLUDED.key, bytes = EXCLUDED.bytes, sha256 = EXCLUDED.sha256,
        stats = EXCLUDED.stats, created_at = EXCLUDED.created_at`;
    return written > 0;
  }

  /** The shards that earlier attempts at this plan finished, by index. */
  async list(mergeId: string, planDigest: string): Promise<Shard[]> {
    const rows = await this.context.prisma.mergeShard.findMany({
      where: { mergeId, planDigest },
      orderBy: { index: 'asc' },
    });
    return rows.map(({ index, path, key, bytes, sha256, stats }) => ({
      index,
      path,
      key,
      bytes: toNumber(bytes),
      sha256,
      stats,
    }));
  }

  /** Forgets all shards of a merge; returns the keys of their objects. */
  async removeAll(mergeId: string): Promise<string[]> {
    const rows = await this.context.prisma.$queryRaw<{ key: string }[]>`
      DELETE FROM merge_shards WHERE merge_id = ${mergeId} RETURNING key`;
    return rows.map(({ key }) => key);
  }
}
