import type { Checkpoint, CheckpointFile } from '@amalgam/contracts';
import type { Prisma } from '../generated/client.js';
import { toNumber } from '../json.js';

/** Everything but the inventory, which may hold half a million tensors. */
export const checkpointQuery = {
  include: { files: { orderBy: { position: 'asc' } } },
  omit: { inventory: true },
} as const satisfies Prisma.CheckpointDefaultArgs;

/** A checkpoint with its files. */
export type CheckpointRow = Prisma.CheckpointGetPayload<typeof checkpointQuery>;

/** The contract's Checkpoint; upload URLs are the API's to add. */
export function toCheckpointResource(row: CheckpointRow): Checkpoint {
  return {
    object: 'checkpoint',
    id: row.id,
    name: row.name,
    state: row.state,
    source: row.source,
    uri: row.uri,
    merge_id: row.mergeId,
    files: row.files.map(toFileResource),
    bytes: toNumber(row.bytes),
    tensors: row.tensors,
    parameters: toNumber(row.parameters),
    dtypes: row.dtypes as Record<string, number>,
    metadata: row.metadata as Record<string, string>,
    created_at: row.createdAt.toISOString(),
  };
}

/** The contract's CheckpointFile. */
export function toFileResource(row: { path: string; bytes: bigint; sha256: string | null }): CheckpointFile {
  return { path: row.path, bytes: toNumber(row.bytes), sha256: row.sha256 };
}
