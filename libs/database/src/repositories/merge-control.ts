import { AmalgamError, isFinal, isRetryable, isRunning } from '@amalgam/contracts';
import { CHANNELS, type Context, notify, type Tx } from '../context.js';
import { Prisma } from '../generated/client.js';
import { lockInputs } from '../lock-inputs.js';
import type { MergeRow } from '../resources/merge.js';
import { readMerge } from '../resources/read-merges.js';
import { databaseNow, inTransaction } from '../transaction.js';
import { end, type LockedMerge, lockMerge, requeue } from '../transitions.js';

/** What a user may ask of a merge. */
export class MergeControl {
  constructor(private readonly context: Context) {}

  /**
   * Cancels a queued merge at once; asks the worker of a running one to stop. Asking twice changes nothing.
   * Throws `not_found`, or `merge_finished` when it succeeded or failed before.
   */
  async requestCancel(projectId: string, id: string): Promise<MergeRow> {
    return this.#change(projectId, id, async (tx, merge) => {
      if (merge.state === 'canceled') return;
      if (isFinal(merge.state))
        throw new AmalgamError('merge_finished', `${id} has ${merge.state} and cannot be canceled`);
      if (merge.cancelRequestedAt !== null) return;
      await tx.merge.update({
        where: { id },
        data: { cancelRequestedAt: await databaseNow(tx) },
        select: { id: true },
      });
      if (isRunning(merge.state)) await notify(tx, CHANNELS.cancel, id);
      else await end(tx, merge, { state: 'canceled', data: { reason: 'requested' } });
    });
  }

  /**
   * A failed or canceled merge goes to the queue again; what it had finished is reused. Throws `not_found`,
   * `merge_not_finished`, `merge_finished` when it succeeded, a kind's `…_not_ready` when an input is not there yet.
   */
  async retry(projectId: string, id: string): Promise<MergeRow> {
    return this.#change(projectId, id, async (tx, merge) => {
      if (!isFinal(merge.state)) throw new AmalgamError('merge_not_finished', `${id} is ${merge.state}`);
      if (!isRetryable(merge.state)) throw new AmalgamError('merge_finished', `${id} has ${merge.state}`);
      await lockInputs(tx, projectId, await tx.mergeInput.findMany({ where: { mergeId: id } }));
      await tx.merge.update({
        where: { id },
        data: { cancelRequestedAt: null, error: Prisma.DbNull, lostCount: 0, startedAt: null, finishedAt: null },
        select: { id: true },
      });
      await requeue(tx, merge, { reason: 'retry' });
    });
  }

  async #change(
    projectId: string,
    id: string,
    change: (tx: Tx, merge: LockedMerge) => Promise<void>,
  ): Promise<MergeRow> {
    return inTransaction(this.context, async (tx) => {
      const merge = await lockMerge(tx, id, projectId);
      if (merge === null) return missing(id);
      await change(tx, merge);
      return (await readMerge(tx, id)) ?? missing(id);
    });
  }
}

function missing(id: string): never {
  throw new AmalgamError('not_found', `there is no merge ${id}`);
}
