import { isAmalgamError } from '@amalgam/contracts';
import type { WorkerContext } from '../context.js';
import type { Lease } from '../lease.js';
import { verifyInputs } from './inputs.js';
import type { Planned } from './planning.js';

/**
 * Work that reads graphs, datasets and checkpoints where they lie: what comes of it counts when they are still what was
 * registered. A file that was removed or replaced underneath shows itself in many ways; which one it was is the thing to tell
 * the user.
 *
 * @throws AmalgamError `checkpoint_changed` naming the file, else what `work` throws; the reason of an attempt that is stopped
 */
export async function whileUnchanged<T>(
  context: WorkerContext,
  { plan, rows, tasks }: Planned,
  { signal }: Pick<Lease, 'signal'>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    const made = await work();
    await tasks.verify();
    return made;
  } catch (error) {
    signal.throwIfAborted();
    if (!isAmalgamError(error) || error.code !== 'checkpoint_changed') {
      await verifyInputs(context, plan, rows);
      await tasks.verify();
    }
    throw error;
  }
}
