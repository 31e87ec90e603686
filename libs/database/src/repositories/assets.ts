import { AmalgamError, type AssetKind, type AssetState, type List, type TensorInfo } from '@amalgam/contracts';
import type { Context, Tx } from '../context.js';
import { Prisma } from '../generated/client.js';
import { newId } from '../ids.js';
import { assertStorable, toJson, toJsonOrNull } from '../json.js';
import { type PageRequest, parsePage, toPage } from '../paging.js';
import { type AssetRow, assetQuery, type DatasetDescription, type GraphDescription } from '../resources/assets.js';
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
  description?: never;
  /** Number of tensors. */
  tensors: number;
  /** Number of elements, over all tensors. */
  parameters: number;
  /** Elements by dtype. */
  dtypes: Record<string, number>;
  inventory: TensorInfo[];
  configs: StoredConfigs;
}

/** A checkpoint's config.json and adapter_config.json, parsed; null where it has none. */
export interface StoredConfigs {
  config: Record<string, unknown> | null;
  adapterConfig: Record<string, unknown> | null;
}

/** What reading the headers of a graph or dataset gives. */
export interface Described<D extends object = object> {
  files: StoredFile[];
  description: D;
}

/** By kind. */
export interface AssetContents {
  checkpoint: Contents;
  graph: Described<GraphDescription>;
  dataset: Described<DatasetDescription>;
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

export type NewRegistered<K extends AssetKind = 'checkpoint'> = AssetContents[K] & {
  id?: string;
  name: string;
  uri: string;
  metadata?: Record<string, string>;
};

/** The checkpoint that a merge made; `finish` writes it. */
export interface NewResult extends Contents {
  id?: string;
  name: string;
  storePrefix: string;
  metadata?: Record<string, string>;
}

export interface AssetFilter extends PageRequest {
  /** Default: pending and ready. */
  state?: AssetState | AssetState[];
  metadata?: Record<string, string>;
  /** A part of the name, whatever its case. */
  name?: string;
}

/** The assets of one kind. */
export class AssetRepository<K extends AssetKind> {
  constructor(
    protected readonly context: Context,
    readonly kind: K,
  ) {}

  /** Begins an upload: `pending`, with the files that are to come. */
  async createUpload(projectId: string, input: NewUpload): Promise<AssetRow> {
    const { files, metadata = {}, id = newId(this.kind), ...rest } = input;
    assertStorable({ name: input.name, metadata, files });
    return this.context.prisma.asset.create({
      data: {
        ...rest,
        id,
        projectId,
        kind: this.kind,
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
      ...assetQuery,
    });
  }

  /** Registers what lies at a URI: `ready` at once, since its headers have been read. */
  async createRegistered(projectId: string, input: NewRegistered<K>): Promise<AssetRow> {
    const { id = newId(this.kind), name, uri, metadata = {} } = input;
    assertStorable({ name, uri, metadata, files: input.files });
    return this.context.prisma.asset.create({
      data: {
        ...contentColumns(input),
        id,
        projectId,
        kind: this.kind,
        name,
        uri,
        state: 'ready',
        source: 'uri',
        metadata: toJson(metadata),
        files: { create: fileRows(input.files) },
      },
      ...assetQuery,
    });
  }

  /**
   * Completes an upload: `pending` to `ready`, its files replaced by those that were seen. What is ready
   * is returned as it is, so that completing twice is harmless. Throws `not_found`.
   */
  async markReady(projectId: string, id: string, contents: AssetContents[K]): Promise<AssetRow> {
    assertStorable({ files: contents.files });
    return inTransaction(this.context, async (tx) => {
      const row = await this.#lock(tx, projectId, id);
      if (row.state === 'pending') {
        const expected = await tx.assetFile.findMany({ where: { assetId: id } });
        const digests = new Map(expected.map((file) => [file.path, file]));
        await tx.assetFile.deleteMany({ where: { assetId: id } });
        await tx.asset.update({
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
      return tx.asset.findUniqueOrThrow({ where: { id }, ...assetQuery });
    });
  }

  /** Notes that a file has arrived, or what its digest is; false when there is no such file. */
  async setFileDigest(
    projectId: string,
    id: string,
    path: string,
    seen: { sha256?: string; etag?: string; uploaded?: boolean },
  ): Promise<boolean> {
    const { count } = await this.context.prisma.assetFile.updateMany({
      where: { assetId: id, path, asset: { projectId, kind: this.kind, state: { not: 'deleted' } } },
      data: seen,
    });
    return count > 0;
  }

  /** Null when there is none, when it is another project's, or when it was deleted. */
  async get(projectId: string, id: string): Promise<AssetRow | null> {
    return this.context.prisma.asset.findUnique({
      where: { id, projectId, kind: this.kind, state: { not: 'deleted' } },
      ...assetQuery,
    });
  }

  /** As `get` gives them, by their ids; what is not there is left out. */
  async getMany(projectId: string, ids: readonly string[]): Promise<Map<string, AssetRow>> {
    const rows = await this.context.prisma.asset.findMany({
      where: { id: { in: [...new Set(ids)] }, projectId, kind: this.kind, state: { not: 'deleted' } },
      ...assetQuery,
    });
    return new Map(rows.map((row) => [row.id, row]));
  }

  /** Newest first. */
  async list(projectId: string, filter: AssetFilter = {}): Promise<List<AssetRow>> {
    const { limit, after } = parsePage(this.kind, filter);
    assertStorable({ metadata: filter.metadata, name: filter.name });
    const states = [filter.state ?? (['pending', 'ready'] satisfies AssetState[])].flat();
    const where = [
      Prisma.sql`project_id = ${projectId}`,
      Prisma.sql`kind = ${this.kind}::asset_kind`,
      Prisma.sql`state = ANY(${states}::text[]::asset_state[])`,
    ];
    if (after !== undefined) where.push(Prisma.sql`id < ${after}`);
    if (filter.metadata !== undefined) where.push(Prisma.sql`metadata @> ${JSON.stringify(filter.metadata)}::jsonb`);
    if (filter.name !== undefined) {
      where.push(Prisma.sql`name ILIKE ${`%${filter.name.replaceAll(/[\\%_]/g, '\\$&')}%`}`);
    }
    const found = await this.context.prisma.$queryRaw<{ id: string }[]>`
      SELECT id FROM assets WHERE ${Prisma.join(where, ' AND ')} ORDER BY id DESC LIMIT ${limit + 1}`;
    const rows = await this.context.prisma.asset.findMany({
      where: { id: { in: found.map(({ id }) => id) } },
      orderBy: { id: 'desc' },
      ...assetQuery,
    });
    return toPage(rows, limit, (row) => row);
  }

  /**
   * Hides it; its bytes are the caller's to remove. The row stays, for the lineage of what was made of it.
   * Throws `not_found`, or the kind's `…_in_use` when an unfinished merge reads it.
   */
  async softDelete(projectId: string, id: string): Promise<AssetRow> {
    return inTransaction(this.context, async (tx) => {
      await this.#lock(tx, projectId, id);
      const user = await tx.mergeInput.findFirst({
        where: { assetId: id, merge: { state: { in: ['queued', 'running'] } } },
        select: { mergeId: true },
      });
      if (user !== null) throw new AmalgamError(`${this.kind}_in_use`, `${id} is an input of ${user.mergeId}`);
      return tx.asset.update({
        where: { id },
        data: { state: 'deleted', deletedAt: await databaseNow(tx) },
        ...assetQuery,
      });
    });
  }

  /** Gives up uploads whose time is over; returns them, so that what arrived of them can be removed. */
  async expirePending(limit = 100): Promise<AssetRow[]> {
    const rows = await this.context.prisma.$queryRaw<{ id: string }[]>`
      UPDATE assets SET state = 'deleted', deleted_at = clock_timestamp() WHERE id IN (
        SELECT id FROM assets WHERE kind = ${this.kind}::asset_kind AND state = 'pending' AND expires_at < clock_timestamp()
        ORDER BY expires_at LIMIT ${limit} FOR UPDATE SKIP LOCKED)
      RETURNING id`;
    return this.context.prisma.asset.findMany({
      where: { id: { in: rows.map(({ id }) => id) } },
      orderBy: { id: 'asc' },
      ...assetQuery,
    });
  }

  /** Locks one that is not deleted; `not_found` else. */
  async #lock(tx: Tx, projectId: string, id: string): Promise<{ state: AssetState }> {
    const rows = await tx.$queryRaw<{ state: AssetState }[]>`
      SELECT state::text AS state FROM assets
      WHERE id = ${id} AND project_id = ${projectId} AND kind = ${this.kind}::asset_kind AND state <> 'deleted'
      FOR UPDATE`;
    const row = rows[0];
    if (row === undefined) throw new AmalgamError('not_found', `there is no ${this.kind} ${id}`);
    return row;
  }
}

export class CheckpointRepository extends AssetRepository<'checkpoint'> {
  constructor(context: Context) {
    super(context, 'checkpoint');
  }

  /** The tensors and configs, once it is ready; null as for `get`. Checkpoints of earlier versions have no configs. */
  async inventory(projectId: string, id: string): Promise<{ tensors: TensorInfo[]; configs: StoredConfigs } | null> {
    const row = await this.context.prisma.asset.findUnique({
      where: { id, projectId, kind: this.kind, state: { not: 'deleted' } },
      select: { inventory: true, configs: true },
    });
    if (row === null) return null;
    return {
      tensors: (row.inventory ?? []) as unknown as TensorInfo[],
      configs: (row.configs ?? { config: null, adapterConfig: null }) as unknown as StoredConfigs,
    };
  }
}

/** Writes the checkpoint of a merge inside the transaction that ends the merge. Returns its id. */
export async function insertResult(
  tx: Tx,
  merge: { id: string; projectId: string },
  result: NewResult,
): Promise<string> {
  const row = await tx.asset.create({
    data: {
      ...contentColumns(result),
      id: result.id ?? newId('checkpoint'),
      projectId: merge.projectId,
      kind: 'checkpoint',
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

function contentColumns(contents: Contents | Described) {
  const bytes = contents.files.reduce((sum, file) => sum + file.bytes, 0);
  if (contents.description !== undefined) return { bytes, description: toJson(contents.description) };
  return {
    bytes,
    tensors: contents.tensors,
    parameters: contents.parameters,
    dtypes: toJson(contents.dtypes),
    inventory: toJsonOrNull(contents.inventory),
    configs: toJsonOrNull(contents.configs),
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
