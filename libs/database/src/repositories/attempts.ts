import {
  isClaimable,
  isRunning,
  type MergeStage,
  type PlainError,
  PROGRESS_INTERVAL_MS,
  type Recipe,
  type TuningProgress,
} from '@amalgam/contracts';
import type { Context, Tx } from '../context.js';
import { Prisma } from '../generated/client.js';
import { newId } from '../ids.js';
import { toJson, toNumber } from '../json.js';
import { recordEvent } from '../record-event.js';
import { databaseNow, inTransaction } from '../transaction.js';
import { end, endAttempt, type LockedMerge, lockMerge, requeue } from '../transitions.js';
import { insertResult, type NewResult } from './assets.js';
import { DEFAULT_MAX_ATTEMPTS, isStale, loseAttempt } from './lost.js';
import type { MergeInputRef } from './merges.js';

export interface ClaimOptions {
  /** A running attempt whose last heartbeat is older than this has lost its worker. */
  staleAfterMs: number;
  /** After so many lost attempts the merge fails with `attempts_exhausted`. Default 3. */
  maxAttempts?: number;
  /** What the worker computes on, in words; the attempt shows it. */
  device?: string;
}

/** What a worker works from. */
export interface Claim {
  attemptId: string;
  /** Counts from 1 within the merge. */
  number: number;
  merge: {
    id: string;
    projectId: string;
    name: string | null;
    recipe: Recipe;
    plan: unknown;
    bytesTotal: number;
    metadata: Record<string, string>;
    inputs: MergeInputRef[];
  };
}

/** `ok` is false when the attempt is no longer the merge's current one: stop at once and publish nothing. */
export interface Lease {
  ok: boolean;
  cancelRequested: boolean;
}

export interface ProgressUpdate {
  stage: MergeStage;
  bytesDone: number;
  bytesTotal: number;
  /** How far the tuning is; what was told before stays when it is left out. */
  tuning?: TuningProgress;
}

export type Outcome =
  | { state: 'succeeded'; checkpoint: NewResult; report: object }
  | { state: 'failed'; error: PlainError }
  | { state: 'canceled' };

const NO_LEASE: Lease = { ok: false, cancelRequested: false };

/** One worker's tries. Ids come from the queue or from a claim, never from a user, hence no project here. */
export class AttemptRepository {
  constructor(private readonly context: Context) {}

  /**
   * Makes the worker the only one that may finish this merge, or returns null when there is nothing to do: another
   * worker has it, it ended, or it was canceled or failed just now because its last worker was lost.
   */
  async claim(mergeId: string, workerId: string, options: ClaimOptions): Promise<Claim | null> {
    return inTransaction(this.context, async (tx) => {
      const merge = await lockMerge(tx, mergeId);
      if (merge === null) return null;
      if (isRunning(merge.state)) {
        if (!(await isStale(tx, mergeId, options.staleAfterMs))) return null;
        const outcome = await loseAttempt(tx, merge, options.maxAttempts ?? DEFAULT_MAX_ATTEMPTS);
        if (outcome !== 'requeued') return null;
      } else if (!isClaimable(merge.state)) {
        return null;
      }
      return start(tx, mergeId, workerId, options.device ?? null);
    });
  }

  /** Keeps the claim alive; also tells whether the user wants the merge canceled. */
  async heartbeat(attemptId: string): Promise<Lease> {
    const rows = await this.context.prisma.$queryRaw<Lease[]>`
      UPDATE attempts a SET heartbeat_at = clock_timestamp() FROM merges m
      WHERE a.id = ${attemptId} AND a.state = 'running' AND m.id = a.merge_id AND m.state = 'running'
      RETURNING true AS ok, m.cancel_requested_at IS NOT NULL AS "cancelRequested"`;
    return rows[0] ?? NO_LEASE;
  }

  /** A heartbeat that also says how far it is; an event when the stage changed or the last one is 500 ms old. */
  async progress(attemptId: string, update: ProgressUpdate): Promise<Lease> {
    return inTransaction(this.context, async (tx) => {
      const current = await lockCurrent(tx, attemptId);
      if (current === null) return NO_LEASE;
      const { merge, number } = current;
      const now = await databaseNow(tx);
      const due =
        merge.stage !== update.stage ||
        merge.lastProgressAt === null ||
        now.getTime() - merge.lastProgressAt.getTime() >= PROGRESS_INTERVAL_MS;
      const bytes = { bytesDone: Math.trunc(update.bytesDone), bytesTotal: Math.trunc(update.bytesTotal) };
      await tx.attempt.update({ where: { id: attemptId }, data: { heartbeatAt: now }, select: { id: true } });
      await tx.merge.update({
        where: { id: merge.id },
        data: {
          stage: update.stage,
          ...bytes,
          ...(update.tuning === undefined ? {} : { tuning: toJson(update.tuning) }),
          ...(due ? { lastProgressAt: now } : {}),
        },
        select: { id: true },
      });
      if (due) {
        await recordEvent(tx, merge.id, 'merge.progress', {
          attempt: number,
          stage: update.stage,
          bytes_done: bytes.bytesDone,
          bytes_total: bytes.bytesTotal,
          ...(update.tuning === undefined ? {} : { tuning: update.tuning }),
        });
      }
      return { ok: true, cancelRequested: merge.cancelRequestedAt !== null };
    });
  }

  /**
   * Ends the merge: result checkpoint with its files, merge row, event, deliveries and outbox rows in one
   * transaction. False, and nothing is written, when the attempt is no longer the current one.
   */
  async finish(attemptId: string, outcome: Outcome): Promise<boolean> {
    return inTransaction(this.context, async (tx) => {
      const current = await lockCurrent(tx, attemptId);
      if (current === null) return false;
      const { merge, number } = current;
      if (outcome.state === 'succeeded') {
        const resultCheckpointId = await insertResult(tx, merge, outcome.checkpoint);
        await endAttempt(tx, attemptId, 'succeeded');
        const data = { attempt: number, checkpoint_id: resultCheckpointId };
        await end(tx, merge, { state: 'succeeded', data, resultCheckpointId, report: outcome.report });
      } else if (outcome.state === 'failed') {
        const { error } = outcome;
        await endAttempt(tx, attemptId, 'failed', error);
        const data = { attempt: number, error: { code: error.code, detail: error.detail } };
        await end(tx, merge, { state: 'failed', data, error });
      } else {
        await endAttempt(tx, attemptId, 'canceled');
        await end(tx, merge, { state: 'canceled', data: { attempt: number, reason: 'requested' } });
      }
      return true;
    });
  }

  /**
   * Gives the merge back to the queue. Without `failure` because the worker shuts down in an orderly way, which counts
   * as no loss. With it because something that the merge needs did not work (the object store, say): that counts, and
   * with the last of `maxAttempts` the merge fails with that error. A merge that the user wants canceled is canceled.
   * False when the attempt is no longer the current one.
   */
  async release(attemptId: string, failure?: { error: PlainError; maxAttempts?: number }): Promise<boolean> {
    return inTransaction(this.context, async (tx) => {
      const current = await lockCurrent(tx, attemptId);
      if (current === null) return false;
      const { merge, number } = current;
      if (merge.cancelRequestedAt !== null) {
        await endAttempt(tx, attemptId, 'canceled');
        await end(tx, merge, { state: 'canceled', data: { attempt: number, reason: 'requested' } });
      } else if (failure === undefined) {
        await endAttempt(tx, attemptId, 'lost', { code: 'unavailable', detail: 'the worker was stopped' });
        await requeue(tx, merge, { reason: 'worker_stopped', attempt: number });
      } else {
        await failAttempt(tx, { id: attemptId, number }, merge, failure.error, failure.maxAttempts);
      }
      return true;
    });
  }
}

/** Another attempt may fare better, unless this was the last one. */
async function failAttempt(
  tx: Tx,
  attempt: { id: string; number: number },
  merge: LockedMerge,
  error: PlainError,
  maxAttempts: number = DEFAULT_MAX_ATTEMPTS,
): Promise<void> {
  const lost = merge.lostCount + 1;
  await tx.merge.update({ where: { id: merge.id }, data: { lostCount: lost }, select: { id: true } });
  await endAttempt(tx, attempt.id, 'failed', error);
  const data = { attempt: attempt.number, error: { code: error.code, detail: error.detail } };
  if (lost >= maxAttempts) await end(tx, merge, { state: 'failed', data, error });
  else await requeue(tx, merge, { reason: 'attempt_failed', ...data });
}

/** Locks the merge of an attempt; null unless the merge runs and this is its running attempt. */
async function lockCurrent(tx: Tx, attemptId: string): Promise<{ merge: LockedMerge; number: number } | null> {
  const attempt = await tx.attempt.findUnique({ where: { id: attemptId }, select: { mergeId: true, number: true } });
  if (attempt === null) return null;
  const merge = await lockMerge(tx, attempt.mergeId);
  if (merge === null || !isRunning(merge.state)) return null;
  // Under the merge's lock, which every change of an attempt's state holds, what is read now stays true.
  const current = await tx.attempt.findFirst({ where: { mergeId: merge.id, state: 'running' }, select: { id: true } });
  return current?.id === attemptId ? { merge, number: attempt.number } : null;
}

async function start(tx: Tx, mergeId: string, workerId: string, device: string | null): Promise<Claim> {
  const now = await databaseNow(tx);
  const before = await tx.merge.findUniqueOrThrow({ where: { id: mergeId }, select: { startedAt: true } });
  const merge = await tx.merge.update({
    where: { id: mergeId },
    data: {
      state: 'running',
      stage: null,
      bytesDone: 0,
      tuning: Prisma.DbNull,
      lastProgressAt: null,
      attemptCount: { increment: 1 },
      startedAt: before.startedAt ?? now,
    },
    include: { inputs: { orderBy: { position: 'asc' }, select: { assetId: true, role: true } } },
    omit: { report: true },
  });
  const attemptId = newId('attempt');
  await tx.attempt.create({
    data: {
      id: attemptId,
      mergeId,
      number: merge.attemptCount,
      state: 'running',
      workerId,
      device,
      heartbeatAt: now,
      startedAt: now,
    },
    select: { id: true },
  });
  await recordEvent(tx, mergeId, 'merge.started', {
    attempt: merge.attemptCount,
    worker: workerId,
    ...(device === null ? {} : { device }),
  });
  return {
    attemptId,
    number: merge.attemptCount,
    merge: {
      id: merge.id,
      projectId: merge.projectId,
      name: merge.name,
      recipe: merge.recipe as unknown as Recipe,
      plan: merge.plan,
      bytesTotal: toNumber(merge.bytesTotal),
      metadata: merge.metadata as Record<string, string>,
      inputs: merge.inputs,
    },
  };
}
