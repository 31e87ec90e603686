import { AmalgamError, type FieldError, type Recipe } from '@amalgam/contracts';
import type { CheckpointRow, Contents, MergeInputRef } from '@amalgam/database';
import { type ModelInput, shortName } from '@amalgam/engine';
import { type FolderView, resolveUri, storeFolder } from '@amalgam/storage';
import { type CheckpointDescription, checkpointFromInventory, describeCheckpoint } from '@amalgam/tensors';
import type { Config } from './config.js';
import type { Parts } from './parts.js';

/** Folder of the object store that holds an uploaded checkpoint's files. */
export function checkpointPrefix(id: string): string {
  return `checkpoints/${id}`;
}

/** Folder of the object store that holds what a merge writes. */
export function resultPrefix(mergeId: string): string {
  return `results/${mergeId}`;
}

/** The files of a checkpoint, wherever they lie. @throws AmalgamError `uri_not_allowed` when the roots have changed since. */
export async function openCheckpoint(
  parts: Pick<Parts, 'store' | 'buckets'>,
  config: Config,
  row: CheckpointRow,
): Promise<FolderView> {
  if (row.uri !== null) return resolveUri(row.uri, config.allowedRoots, parts.buckets);
  if (row.storePrefix === null) throw new AmalgamError('internal', `checkpoint ${row.id} lies nowhere`);
  return storeFolder(parts.store, row.storePrefix, row.name);
}

/**
 * Reads a folder's headers into what the database keeps of a checkpoint. `digests` are those that are known, by path.
 *
 * @throws AmalgamError `invalid_checkpoint`, `unsafe_format`
 */
export async function describeFolder(folder: FolderView, digests?: Map<string, string>): Promise<Contents> {
  const [description, files] = await Promise.all([describeCheckpoint(folder), folder.list()]);
  return toContents(
    description,
    files.map((file) => ({ ...file, sha256: digests?.get(file.path) ?? null })),
  );
}

export function toContents(description: CheckpointDescription, files: Contents['files']): Contents {
  return {
    files,
    tensors: description.tensors.size,
    parameters: description.parameters,
    dtypes: description.dtypes,
    inventory: [...description.tensors.values()].map(({ name, dtype, shape, bytes, file, begin }) => ({
      name,
      dtype,
      shape,
      bytes,
      file,
      begin,
    })),
  };
}

/** A recipe's checkpoints, by its references, as the engine wants them. */
export interface RecipeInputs {
  base: ModelInput | null;
  models: ModelInput[];
  /** In the engine's order: the base when there is one, then the models. */
  rows: CheckpointRow[];
  refs: MergeInputRef[];
}

/**
 * Finds the checkpoints that a recipe names by id; their tensors come from the database, so no file is opened. The database is
 * always asked whether they are there and ready; tensors that are known already are not read again.
 *
 * @throws AmalgamError `not_found` or `checkpoint_not_ready`, with a pointer for each reference.
 */
export async function findInputs(
  parts: Pick<Parts, 'database' | 'descriptions'>,
  projectId: string,
  recipe: Recipe,
): Promise<RecipeInputs> {
  const references: Reference[] = [
    ...(recipe.base === undefined ? [] : [{ pointer: '/base', reference: recipe.base, name: undefined }]),
    ...recipe.models.map(({ model, name }, i) => ({ pointer: `/models/${i}/model`, reference: model, name })),
  ];
  const rows = await parts.database.checkpoints.getMany(
    projectId,
    references.map(({ reference }) => reference),
  );
  const missing = references.filter(({ reference }) => !rows.has(reference));
  if (missing.length > 0) throw notFound(missing);
  const notReady = references.flatMap(({ pointer, reference }) => {
    const state = rows.get(reference)?.state;
    return state === 'ready' ? [] : [{ pointer, detail: `checkpoint "${reference}" is ${state}, not ready` }];
  });
  if (notReady.length > 0) throw refusal('checkpoint_not_ready', notReady);

  const all = await Promise.all(
    references.map(async (reference) => {
      const row = rows.get(reference.reference)!;
      const checkpoint = await describeStored(parts, projectId, row);
      // Deleted just now.
      if (checkpoint === null) throw notFound([reference]);
      const name = reference.name ?? shortName(row.name);
      return { row, input: { reference: reference.reference, identity: row.id, name, checkpoint } };
    }),
  );
  const base = recipe.base === undefined ? null : all[0]!.input;
  const models = (base === null ? all : all.slice(1)).map(({ input }) => input);
  return {
    base,
    models,
    rows: all.map(({ row }) => row),
    refs: all.map(({ row }, i) => ({ assetId: row.id, role: base !== null && i === 0 ? 'base' : 'model' })),
  };
}

interface Reference {
  pointer: string;
  reference: string;
  name: string | undefined;
}

/** Null when it is gone. The row says that it is ready, so its tensors are final. */
async function describeStored(
  { database, descriptions }: Pick<Parts, 'database' | 'descriptions'>,
  projectId: string,
  row: CheckpointRow,
): Promise<CheckpointDescription | null> {
  const known = descriptions.get(row.id);
  if (known !== undefined) return known;
  const inventory = await database.checkpoints.inventory(projectId, row.id);
  if (inventory === null) return null;
  const files = row.files.map((file) => ({ path: file.path, bytes: Number(file.bytes) }));
  const description = checkpointFromInventory(files, inventory, row.name);
  descriptions.set(row.id, description);
  return description;
}

function notFound(references: readonly Reference[]): AmalgamError {
  return refusal(
    'not_found',
    references.map(({ pointer, reference }) => ({ pointer, detail: `there is no checkpoint "${reference}"` })),
  );
}

function refusal(code: 'not_found' | 'checkpoint_not_ready', errors: FieldError[]): AmalgamError {
  const placed = errors.map(({ pointer, detail }) => ({ pointer: `/recipe${pointer}`, detail }));
  return new AmalgamError(code, errors.map((error) => error.detail).join('; '), { errors: placed });
}
