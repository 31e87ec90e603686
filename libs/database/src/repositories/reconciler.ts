import { isClaimable, isRunning } from '@amalgam/contracts';
import type { Context } from '../context.js';
import { inTransaction } from '../transaction.js';
import { enqueueMerge, lockMerge } from '../transitions.js';
import { DEFAULT_MAX_ATTEMPTS, isStale, loseAttempt } from './lost.js';

const BATCH = 100;
/** Of the advisory lock; "AMLG" in ASCII. */
const LOCK_KEY = 0x414d4c47;
const LOCK_IDLE_MS = 10_000;

/** Ids of merges, by what became of them. */
export interface Released {
  requeued: string[];
  failed: string[];
  canceled: string[];
}

/** Where the objects below `results/<id>/` stand. */
export interface ResultOwner {
  id: string;
  /** It ended, or its result was deleted, longer ago than was asked. */
  settled: boolean;
  /** Key prefix of the result that users can still reach; null when there is none. */
  storePrefix: string | null;
}

/** Steps that put right what a crash or a lost queue left behind. Safe to run from several processes at once. */
export class ReconcilerRepository {
  constructor(private readonly context: Context) {}

  /** Takes running merges from workers that were not heard of for `staleAfterMs`. */
  async releaseLost(staleAfterMs: number, maxAttempts: number = DEFAULT_MAX_ATTEMPTS): Promise<Released> {
    const rows = await this.context.prisma.$queryRaw<{ id: string }[]>`
      SELECT m.id FROM merges m LEFT JOIN attempts a ON a.merge_id = m.id AND a.state = 'running'
      WHERE m.state = 'running' AND (
        a.id IS NULL OR a.heartbeat_at < clock_timestamp() - ${staleAfterMs}::float8 * interval '1 millisecond')
      ORDER BY m.id LIMIT ${BATCH}`;
    const released: Released = { requeued: [], failed: [], canceled: [] };
    for (const { id } of rows) {
      const outcome = await inTransaction(this.context, async (tx) => {
        const merge = await lockMerge(tx, id);
        if (merge === null || !isRunning(merge.state) || !(await isStale(tx, id, staleAfterMs))) return null;
        return loseAttempt(tx, merge, maxAttempts);
      });
      if (outcome !== null) released[outcome].push(id);
    }
    return released;
  }

  /**
   * Merges that have been queued for longer than this and whose outbox rows are all dispatched: the queue should have
   * them, and `redispatch` is for those that it does not.
   */
  async queuedWithoutDispatch(olderThanMs: number): Promise<{ id: string; projectId: string }[]> {
    return this.context.prisma.$queryRaw<{ id: string; projectId: string }[]>`
      SELECT m.id, m.project_id AS "projectId" FROM merges m
      WHERE m.state = 'queued' AND m.queued_at < clock_timestamp() - ${olderThanMs}::float8 * interval '1 millisecond'
        AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.subject_id = m.id AND o.dispatched_at IS NULL)
      ORDER BY m.queued_at LIMIT ${BATCH}`;
  }

  /** Ids of the outbox rows that were made for a merge: the job ids to look for in the queue. */
  async dispatchesOf(mergeId: string): Promise<string[]> {
    const rows = await this.context.prisma.outbox.findMany({
      where: { subjectId: mergeId },
      orderBy: { id: 'asc' },
      select: { id: true },
    });
    return rows.map(({ id }) => id);
  }

  /** A new outbox row for a queued merge. False when it is not queued, or one waits already. */
  async redispatch(mergeId: string): Promise<boolean> {
    return inTransaction(this.context, async (tx) => {
      const merge = await lockMerge(tx, mergeId);
      if (merge === null || !isClaimable(merge.state)) return false;
      const waiting = await tx.outbox.count({ where: { subjectId: mergeId, dispatchedAt: null } });
      if (waiting > 0) return false;
      await enqueueMerge(tx, merge);
      return true;
    });
  }

  /**
   * Runs `work` while no other process does; false when one does. Longer than `timeoutMs` the lock is not held, and a
   * process that freezes with it loses it after some seconds: the others must not wait for it.
   */
  async exclusively(work: () => Promise<void>, timeoutMs = 300_000): Promise<boolean> {
    return this.context.prisma.$transaction(
      async (tx) => {
        const rows = await tx.$queryRaw<{ locked: boolean }[]>`
          SELECT pg_try_advisory_xact_lock(${LOCK_KEY}::bigint) AS locked,
                 set_config('idle_in_transaction_session_timeout', ${String(LOCK_IDLE_MS)}, true)`;
        if (rows[0]?.locked !== true) return false;
        // The work has connections of its own; this one only says that we live. Without it, nothing is lost but the lock.
        const sign = setInterval(() => void tx.$executeRaw`SELECT 1`.catch(() => {}), LOCK_IDLE_MS / 4);
        try {
          await work();
        } finally {
          clearInterval(sign);
        }
        return true;
      },
      { timeout: timeoutMs },
    );
  }

  /** Uploads deleted so long ago that nothing writes to them any more, whose bytes were not removed since; some at a time. */
  async deletedUploads(olderThanMs: number): Promise<{ id: string; storePrefix: string }[]> {
    return this.context.prisma.$queryRaw<{ id: string; storePrefix: string }[]>`
      SELECT id, store_prefix AS "storePrefix" FROM assets
      WHERE state = 'deleted' AND source = 'upload' AND store_prefix IS NOT NULL
        AND deleted_at < clock_timestamp() - ${olderThanMs}::float8 * interval '1 millisecond'
      ORDER BY deleted_at LIMIT ${BATCH}`;
  }

  /** Nothing lies in the store for a deleted upload. */
  async bytesRemoved(id: string): Promise<void> {
    await this.context.prisma.asset.updateMany({ where: { id, state: 'deleted' }, data: { storePrefix: null } });
  }

  /** The merges of these ids, for whoever clears away objects that no result names. Ids without a merge are left out. */
  async resultOwners(ids: readonly string[], settledForMs: number): Promise<ResultOwner[]> {
    return this.context.prisma.$queryRaw<ResultOwner[]>`
      SELECT m.id, c.store_prefix AS "storePrefix",
             m.state IN ('succeeded', 'failed', 'canceled')
               AND GREATEST(m.finished_at, d.deleted_at)
                   < clock_timestamp() - ${settledForMs}::float8 * interval '1 millisecond' AS settled
      FROM merges m
      LEFT JOIN assets c ON c.id = m.result_checkpoint_id AND c.state <> 'deleted'
      LEFT JOIN assets d ON d.id = m.result_checkpoint_id
      WHERE m.id = ANY(${ids}::text[])`;
  }
}
