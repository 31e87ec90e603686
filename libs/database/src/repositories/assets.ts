import { AmalgamError, type CheckpointState, type List, type TensorInfo } from '@amalgam/contracts';
import type { Context, Tx } from '../context.js';
import { Prisma } from '../generated/client.js';
import { newId } from '../ids.js';
import { assertStorable, toJson, toJsonOrNull } from '../json.js';
import { type PageRequest, parsePage, toPage } from '../paging.js';
import { type CheckpointRow, checkpointQuery } from '../resources/checkpoint.js';
import { databaseNow, inTransaction } from '../transaction.js';

/** A file that was seen: its size is true, its digest and etag as far as they are known. */
export interface StoredFile {
  path: string;
  bytes: number;
  sha256?: string | null;
  etag?: string | null;
}

/** What reading the headers of a checkpoint's files gives. */
export interface Contents {
  files: StoredFile[];
  /** Number of tensors. */
  tensors: number;
  /** Number of elements, over all tensors. */
  parameters: number;
  /** Elements by dtype. */
  dtypes: Record<string, number>;
  inventory: TensorInfo[];
}

export interface NewUpload {
  id?: string;
  name: string;
  storePrefix: string;
  files: { path: string; bytes: number; sha256?: string }[];
  metadata?: Record<string, string>;
  /** When an upload that was not completed is given up. */
  expiresAt: Date;
}

export interface NewRegistered extends Contents {
  id?: string;
  name: string;
  uri: string;
  metadata?: Record<string, string>;
}

/** The checkpoint that a merge made; `finish` writes it. */
export interface NewResult extends Contents {
  id?: string;
  name: string;
  storePrefix: string;
  metadata?: Record<string, string>;
}

export interface CheckpointFilter extends PageRequest {
  /** Default: pending and ready. */
  state?: CheckpointState | CheckpointState[];
  metadata?: Record<string, string>;
  /** A part of the name, whatever its case. */
  name?: string;
}

export class CheckpointRepository {
  constructor(private readonly context: Context) {}

  /** Begins an upload: `pending`, with the files that are to come. */
  async createUpload(projectId: string, input: NewUpload): Promise<CheckpointRow> {
    const { files, metadata = {}, id = newId('checkpoint'), ...rest } = input;
    assertStorable({ name: input.name, metadata, files });
    return this.context.prisma.checkpoint.create({
      data: {
        ...rest,
        id,
        projectId,
        state: 'pending',
        source: 'upload',
        bytes: files.reduce((sum, file) => sum + file.bytes, 0),
        metadata: toJson(metadata),
        files: {
          create: files.map(({ path, bytes, sha256 }, position) => ({
            path,
            position,
            bytes,
            expectedSha256: sha256 ?? null,
          })),
        },
      },
      ...checkpointQuery,
    });
  }

  /** Registers what lies at a URI: `ready` at once, since its headers have been read. */
  async createRegistered(projectId: string, input: NewRegistered): Promise<CheckpointRow> {
    const { id = newId('checkpoint'), name, uri, metadata = {} } = input;
    assertStorable({ name, uri, metadata, files: input.files });
    return this.context.prisma.checkpoint.create({
      data: {
        ...contentColumns(input),
        id,
        projectId,
        name,
        uri,
        state: 'ready',
        source: 'uri',
        metadata: toJson(metadata),
        files: { create: fileRows(input.files) },
      },
      ...checkpointQuery,
    });
  }

  /**
   * Completes an upload: `pending` to `ready`, its files replaced by those that were seen. A checkpoint that is ready
   * is returned as it is, so that completing twice is harmless. Throws `not_found`.
   */
  async markReady(projectId: string, id: string, contents: Contents): Promise<CheckpointRow> {
    assertStorable({ files: contents.files });
    return inTransaction(this.context, async (tx) => {
      const row = await lockCheckpoint(tx, projectId, id);
      if (row.state === 'pending') {
        const expected = await tx.checkpointFile.findMany({ where: { checkpointId: id } });
        const digests = new Map(expected.map((file) => [file.path, file]));
        await tx.checkpointFile.deleteMany({ where: { checkpointId: id } });
        await tx.checkpoint.update({
          where: { id },
          data: {
            ...contentColumns(contents),
            state: 'ready',
            expiresAt: null,
            files: {
              create: fileRows(contents.files).map((file) => {
                const before = digests.get(file.path);
                const sha256 = file.sha256 ?? before?.sha256 ?? null;
                return { ...file, sha256, expectedSha256: before?.expectedSha256 ?? null };
              }),
            },
          },
          select: { id: true },
        });
      }
      return tx.checkpoint.findUniqueOrThrow({ where: { id }, ...checkpointQuery });
    });
  }

  /** Notes that a file has arrived, or what its digest is; false when there is no such file. */
  async setFileDigest(
    projectId: string,
    id: string,
    path: string,
    seen: { sha256?: string; etag?: string; uploaded?: boolean },
  ): Promise<boolean> {
    const { count } = await this.context.prisma.checkpointFile.updateMany({
      where: { checkpointId: id, path, checkpoint: { projectId, state: { not: 'deleted' } } },
      data: seen,
    });
    return count > 0;
  }

  /** Null when there is none, when it is another project's, or when it was deleted. */
  async get(projectId: string, id: string): Promise<CheckpointRow | null> {
    return this.context.prisma.checkpoint.findUnique({
      where: { id, projectId, state: { not: 'deleted' } },
      ...checkpointQuery,
    });
  }

  /** As `get` gives them, by their ids; what is not there is left out. */
  async getMany(projectId: string, ids: readonly string[]): Promise<Map<string, CheckpointRow>> {
    const rows = await this.context.prisma.checkpoint.findMany({
      where: { id: { in: [...new Set(ids)] }, projectId, state: { not: 'deleted' } },
      ...checkpointQuery,
    });
    return new Map(rows.map((row) => [row.id, row]));
  }

  /** The tensors, once it is ready; null as for `get`. */
  async inventory(projectId: string, id: string): Promise<TensorInfo[] | null> {
    const row = await this.context.prisma.checkpoint.findUnique({
      where: { id, projectId, state: { not: 'deleted' } },
      select: { inventory: true },
    });
    return row === null ? null : ((row.inventory ?? []) as unknown as TensorInfo[]);
  }

  /** Newest first. */
  async list(projectId: string, filter: CheckpointFilter = {}): Promise<List<CheckpointRow>> {
    const { limit, after } = parsePage('checkpoint', filter);
    assertStorable({ metadata: filter.metadata, name: filter.name });
    const states = [filter.state ?? (['pending', 'ready'] satisfies CheckpointState[])].flat();
    const where = [
      Prisma.sql`project_id = ${projectId}`,
      Prisma.sql`state = ANY(${states}::text[]::checkpoint_state[])`,
    ];
    if (after !== undefined) where.push(Prisma.sql`id < ${after}`);
    if (filter.metadata !== undefined) where.push(Prisma.sql`metadata @> ${JSON.stringify(filter.metadata)}::jsonb`);
    if (filter.name !== undefined) {
      where.push(Prisma.sql`name ILIKE ${`%${filter.name.replaceAll(/[\\%_]/g, '\\$&')}%`}`);
    }
    const found = await this.context.prisma.$queryRaw<{ id: string }[]>`
      SELECT id FROM checkpoints WHERE ${Prisma.join(where, ' AND ')} ORDER BY id DESC LIMIT ${limit + 1}`;
    const rows = await this.context.prisma.checkpoint.findMany({
      where: { id: { in: found.map(({ id }) => id) } },
      orderBy: { id: 'desc' },
      ...checkpointQuery,
    });
    return toPage(rows, limit, (row) => row);
  }

  /**
   * Hides a checkpoint; its bytes are the caller's to remove. The row stays, for the lineage of what was made of it.
   * Throws `not_found`, or `checkpoint_in_use` when an unfinished merge reads it.
   */
  async softDelete(projectId: string, id: string): Promise<CheckpointRow> {
    return inTransaction(this.context, async (tx) => {
      await lockCheckpoint(tx, projectId, id);
      const user = await tx.mergeInput.findFirst({
        where: { checkpointId: id, merge: { state: { in: ['queued', 'running'] } } },
        select: { mergeId: true },
      });
      if (user !== null) throw new AmalgamError('checkpoint_in_use', `${id} is an input of ${user.mergeId}`);
      return tx.checkpoint.update({
        where: { id },
        data: { state: 'deleted', deletedAt: await databaseNow(tx) },
        ...checkpointQuery,
      });
    });
  }

  /** Gives up uploads whose time is over; returns them, so that what arrived of them can be removed. */
  async expirePending(limit = 100): Promise<CheckpointRow[]> {
    const rows = await this.context.prisma.$queryRaw<{ id: string }[]>`
      UPDATE checkpoints SET state = 'deleted', deleted_at = clock_timestamp() WHERE id IN (
        SELECT id FROM checkpoints WHERE state = 'pending' AND expires_at < clock_timestamp()
        ORDER BY expires_at LIMIT ${limit} FOR UPDATE SKIP LOCKED)
      RETURNING id`;
    return this.context.prisma.checkpoint.findMany({
      where: { id: { in: rows.map(({ id }) => id) } },
      orderBy: { id: 'asc' },
      ...checkpointQuery,
    });
  }
}

/** Writes the checkpoint of a merge inside the transaction that ends the merge. Returns its id. */
export async function insertResult(
  tx: Tx,
  merge: { id: string; projectId: string },
  result: NewResult,
): Promise<string> {
  const row = await tx.checkpoint.create({
    data: {
      ...contentColumns(result),
      id: result.id ?? newId('checkpoint'),
      projectId: merge.projectId,
      name: result.name,
      storePrefix: result.storePrefix,
      mergeId: merge.id,
      state: 'ready',
      source: 'merge',
      metadata: toJson(result.metadata ?? {}),
      files: { create: fileRows(result.files) },
    },
    select: { id: true },
  });
  return row.id;
}

/** Locks a checkpoint that is not deleted; `not_found` else. */
async function lockCheckpoint(tx: Tx, projectId: string, id: string): Promise<{ state: CheckpointState }> {
  const rows = await tx.$queryRaw<{ state: CheckpointState }[]>`
    SELECT state::text AS state FROM checkpoints
    WHERE id = ${id} AND project_id = ${projectId} AND state <> 'deleted' FOR UPDATE`;
  const row = rows[0];
  if (row === undefined) throw new AmalgamError('not_found', `there is no checkpoint ${id}`);
  return row;
}

function contentColumns(contents: Contents) {
  return {
    bytes: contents.files.reduce((sum, file) => sum + file.bytes, 0),
    tensors: contents.tensors,
    parameters: contents.parameters,
    dtypes: toJson(contents.dtypes),
    inventory: toJsonOrNull(contents.inventory),
  };
}

function fileRows(files: readonly StoredFile[]) {
  return files.map(({ path, bytes, sha256 = null, etag = null }, position) => ({
    path,
    position,
    bytes,
    sha256,
    etag,
    uploaded: true,
  }));
}
