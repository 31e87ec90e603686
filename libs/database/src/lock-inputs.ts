import { AmalgamError, ASSET_KINDS, type AssetKind, isId } from '@amalgam/contracts';
import type { Tx } from './context.js';
import { Prisma } from './generated/client.js';
import type { MergeInputRef } from './repositories/merges.js';

/** Shared locks: the inputs stay as they are until the merge that names them is visible to `softDelete`. */
export async function lockInputs(tx: Tx, projectId: string, inputs: readonly MergeInputRef[]): Promise<void> {
  const ids = [...new Set(inputs.map(({ assetId }) => assetId))];
  const rows = await tx.$queryRaw<{ id: string; kind: AssetKind; name: string; state: string }[]>`
    ${lockedInputs(Prisma.sql`id, kind::text AS kind, name, state::text AS state`, projectId, ids)}`;
  const found = new Map(rows.map((row) => [row.id, row]));
  for (const id of ids) {
    const row = found.get(id);
    if (row === undefined || row.state === 'deleted') {
      const kind = ASSET_KINDS.find((known) => isId(known, id)) ?? 'checkpoint';
      throw new AmalgamError('not_found', `there is no ${kind} ${id}`);
    }
    if (row.state !== 'ready') {
      throw new AmalgamError(`${row.kind}_not_ready`, `${row.kind} ${id} (${row.name}) is ${row.state}`);
    }
  }
}

/** A SELECT that locks assets in the order of their ids, as everybody does. */
export function lockedInputs(columns: Prisma.Sql, projectId: string, ids: string[], where = Prisma.empty): Prisma.Sql {
  return Prisma.sql`
    SELECT ${columns} FROM assets
    WHERE project_id = ${projectId} AND id = ANY(${ids}::text[]) ${where} ORDER BY id FOR SHARE`;
}
