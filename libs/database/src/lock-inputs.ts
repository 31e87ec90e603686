import { AmalgamError } from '@amalgam/contracts';
import type { Tx } from './context.js';
import { Prisma } from './generated/client.js';
import type { MergeInputRef } from './repositories/merges.js';

/** Shared locks: the inputs stay as they are until the merge that names them is visible to `softDelete`. */
export async function lockInputs(tx: Tx, projectId: string, inputs: readonly MergeInputRef[]): Promise<void> {
  const ids = [...new Set(inputs.map(({ checkpointId }) => checkpointId))];
  const rows = await tx.$queryRaw<{ id: string; name: string; state: string }[]>`
    ${lockedInputs(Prisma.sql`id, name, state::text AS state`, projectId, ids)}`;
  const found = new Map(rows.map((row) => [row.id, row]));
  for (const id of ids) {
    const row = found.get(id);
    if (row === undefined || row.state === 'deleted')
      throw new AmalgamError('not_found', `there is no checkpoint ${id}`);
    if (row.state !== 'ready') {
      throw new AmalgamError('checkpoint_not_ready', `checkpoint ${id} (${row.name}) is ${row.state}`);
    }
  }
}

/** A SELECT that locks checkpoints in the order of their ids, as everybody does. */
export function lockedInputs(columns: Prisma.Sql, projectId: string, ids: string[], where = Prisma.empty): Prisma.Sql {
  return Prisma.sql`
    SELECT ${columns} FROM checkpoints
    WHERE project_id = ${projectId} AND id = ANY(${ids}::text[]) ${where} ORDER BY id FOR SHARE`;
}
