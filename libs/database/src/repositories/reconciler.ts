import { isClaimable, isRunning } from '@amalgam/contracts';
import type { Context } from '../context.js';
import { inTransaction } from '../transaction.js';
import { enqueueMerge, lockMerge } from '../transitions.js';
import { DEFAULT_MAX_ATTEMPTS, isStale, loseAttempt } from './lost.js';

const BATCH = 100;

/** Ids of merges, by what became of them. */
export interface Released {
  requeued: string[];
  failed: string[];
  canceled: string[];
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
}
