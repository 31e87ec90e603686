import type { PlainError } from '@amalgam/contracts';
import type { Tx } from '../context.js';
import { end, endAttempt, type LockedMerge, requeue } from '../transitions.js';

export const DEFAULT_MAX_ATTEMPTS = 3;

const LOST: PlainError = { code: 'unavailable', detail: 'the worker stopped answering' };

/** True when a running merge has no attempt that was heard of in the last `staleAfterMs`. */
export async function isStale(tx: Tx, mergeId: string, staleAfterMs: number): Promise<boolean> {
  // The row lock keeps a heartbeat from arriving between this look and what follows from it.
  const rows = await tx.$queryRaw<{ stale: boolean }[]>`
    SELECT heartbeat_at < clock_timestamp() - ${staleAfterMs}::float8 * interval '1 millisecond' AS stale
    FROM attempts WHERE merge_id = ${mergeId} AND state = 'running' FOR UPDATE`;
  return rows[0]?.stale ?? true;
}

/** What follows when the worker of a running merge is gone. The merge is locked and `isStale`. */
export async function loseAttempt(
  tx: Tx,
  merge: LockedMerge,
  maxAttempts: number,
): Promise<'requeued' | 'failed' | 'canceled'> {
  const attempt = await tx.attempt.findFirst({ where: { mergeId: merge.id, state: 'running' } });
  if (attempt !== null) await endAttempt(tx, attempt.id, 'lost', LOST);
  const number = attempt?.number ?? merge.attemptCount;
  if (merge.cancelRequestedAt !== null) {
    await end(tx, merge, { state: 'canceled', data: { attempt: number, reason: 'requested' } });
    return 'canceled';
  }
  const lost = merge.lostCount + 1;
  await tx.merge.update({ where: { id: merge.id }, data: { lostCount: lost }, select: { id: true } });
  if (lost >= maxAttempts) {
    const error: PlainError = {
      code: 'attempts_exhausted',
      detail: `${lost} attempts were lost with their workers, the last one on ${attempt?.workerId ?? 'an unknown worker'}`,
    };
    await end(tx, merge, { state: 'failed', data: { attempt: number, error }, error });
    return 'failed';
  }
  await requeue(tx, merge, { reason: 'worker_lost', attempt: number });
  return 'requeued';
}
