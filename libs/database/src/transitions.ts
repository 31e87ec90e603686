import {
  AmalgamError,
  canTransition,
  type EventType,
  isFinal,
  type MergeState,
  type PlainError,
} from '@amalgam/contracts';
import type { Tx } from './context.js';
import { type Merge, Prisma } from './generated/client.js';
import { storable, toJson } from './json.js';
import { recordEvent } from './record-event.js';
import { enqueue, type Subject } from './repositories/outbox.js';
import { databaseNow } from './transaction.js';

/** A merge without its large columns, whose row this transaction has locked. */
export type LockedMerge = Omit<Merge, 'plan' | 'report' | 'recipe'>;

/** Takes the merge's row lock and reads it as it is then. Locks come in one order: merge, attempt, assets. */
export async function lockMerge(tx: Tx, id: string, projectId?: string): Promise<LockedMerge | null> {
  await tx.$queryRaw`SELECT 1 FROM merges WHERE id = ${id} FOR UPDATE`;
  return tx.merge.findUnique({
    where: projectId === undefined ? { id } : { id, projectId },
    omit: { plan: true, report: true, recipe: true },
  });
}

/** Back to the queue: the worker was lost or stopped, or the user asked for another try. */
export async function requeue(tx: Tx, merge: LockedMerge, data: Record<string, unknown>): Promise<void> {
  assertTransition(merge, 'queued');
  await tx.merge.update({
    where: { id: merge.id },
    data: { state: 'queued', stage: null, bytesDone: 0, tuning: Prisma.DbNull, queuedAt: await databaseNow(tx) },
    select: { id: true },
  });
  await enqueueMerge(tx, merge);
  await recordEvent(tx, merge.id, 'merge.queued', data);
}

export async function enqueueMerge(
  tx: Tx,
  merge: Pick<Merge, 'id' | 'projectId' | 'lane' | 'priority'>,
): Promise<void> {
  await enqueue(tx, dispatchOf(merge));
}

/** What the outbox holds of a merge that waits for a worker. */
export function dispatchOf(merge: Pick<Merge, 'id' | 'projectId' | 'lane' | 'priority'>): Subject {
  const payload = { merge_id: merge.id, project_id: merge.projectId, lane: merge.lane, priority: merge.priority };
  return { kind: 'merge', subjectId: merge.id, payload };
}

/** What else changes when a merge ends. */
export interface Ending {
  state: 'succeeded' | 'failed' | 'canceled';
  data: Record<string, unknown>;
  error?: PlainError;
  resultCheckpointId?: string;
  report?: object;
}

/** The end of a merge, for this time: state, times, error or result, and the event. */
export async function end(tx: Tx, merge: LockedMerge, ending: Ending): Promise<void> {
  assertTransition(merge, ending.state);
  await tx.merge.update({
    where: { id: merge.id },
    data: {
      state: ending.state,
      stage: null,
      finishedAt: await databaseNow(tx),
      error: ending.error === undefined ? Prisma.DbNull : toJson(plainError(ending.error)),
      ...(ending.state === 'succeeded' ? { bytesDone: merge.bytesTotal } : {}),
      ...(ending.resultCheckpointId === undefined ? {} : { resultCheckpointId: ending.resultCheckpointId }),
      ...(ending.report === undefined ? {} : { report: toJson(ending.report) }),
    },
    select: { id: true },
  });
  const type: EventType = `merge.${ending.state}`;
  await recordEvent(tx, merge.id, type, ending.data);
}

/** The end of an attempt. */
export async function endAttempt(
  tx: Tx,
  attemptId: string,
  state: 'succeeded' | 'failed' | 'canceled' | 'lost',
  error?: PlainError,
): Promise<void> {
  await tx.attempt.update({
    where: { id: attemptId },
    data: {
      state,
      finishedAt: await databaseNow(tx),
      error: error === undefined ? Prisma.DbNull : toJson(plainError(error)),
    },
    select: { id: true },
  });
}

/** Only what the contract has, and only what Postgres takes: details quote tensor names and file names. */
export function plainError(error: PlainError): PlainError {
  return {
    code: error.code,
    detail: storable(error.detail),
    ...(error.errors === undefined || error.errors.length === 0
      ? {}
      : {
          errors: error.errors.map(({ pointer, detail }) => ({ pointer: storable(pointer), detail: storable(detail) })),
        }),
  };
}

function assertTransition(merge: { id: string; state: MergeState }, to: MergeState): void {
  if (canTransition(merge.state, to)) return;
  throw isFinal(merge.state)
    ? new AmalgamError(
        'merge_finished',
        `${merge.id} has ${merge.state === 'canceled' ? 'been canceled' : merge.state}`,
      )
    : new AmalgamError('internal', `${merge.id} cannot go from ${merge.state} to ${to}`);
}
