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
 * Finds the checkpoints that a recipe names by id; their tensors come from the database, so no file is opened.
 *
 * @throws AmalgamError `not_found` or `checkpoint_not_ready`, with a pointer for each reference.
 */
export async function findInputs(
  parts: Pick<Parts, 'database'>,
  projectId: string,
  recipe: Recipe,
): Promise<RecipeInputs> {
  const references = [
    ...(recipe.base === undefined
      ? []
      : [{ pointer: '/base', reference: recipe.base, name: undefined as string | undefined }]),
    ...recipe.models.map(({ model, name }, i) => ({ pointer: `/models/${i}/model`, reference: model, name })),
  ];
  const missing: FieldError[] = [];
  const notReady: FieldError[] = [];
  const found = await Promise.all(
    references.map(async ({ pointer, reference, name }) => {
      const row = await parts.database.checkpoints.get(projectId, reference);
      if (row === null) {
        missing.push({ pointer, detail: `there is no checkpoint "${reference}"` });
        return undefined;
      }
      if (row.state !== 'ready') {
        notReady.push({ pointer, detail: `checkpoint "${reference}" is ${row.state}, not ready` });
        return undefined;
      }
      return { row, input: await toInput(parts, projectId, row, reference, name) };
    }),
  );
  if (missing.length > 0) throw refusal('not_found', missing);
  if (notReady.length > 0) throw refusal('checkpoint_not_ready', notReady);

  const all = found.map((entry) => entry!);
  const base = recipe.base === undefined ? null : all[0]!.input;
  const models = (base === null ? all : all.slice(1)).map(({ input }) => input);
  const rows = all.map(({ row }) => row);
  return {
    base,
    models,
    rows,
    refs: rows.map((row, i) => ({ checkpointId: row.id, role: base !== null && i === 0 ? 'base' : 'model' })),
  };
}

async function toInput(
  parts: Pick<Parts, 'database'>,
  projectId: string,
  row: CheckpointRow,
  reference: string,
  name: string | undefined,
): Promise<ModelInput> {
  const inventory = (await parts.database.checkpoints.inventory(projectId, row.id)) ?? [];
  const files = row.files.map((file) => ({ path: file.path, bytes: Number(file.bytes) }));
  return {
    reference,
    identity: row.id,
    name: name ?? shortName(row.name),
    checkpoint: checkpointFromInventory(files, inventory, row.name),
  };
}

function refusal(code: 'not_found' | 'checkpoint_not_ready', errors: FieldError[]): AmalgamError {
  const placed = errors.map(({ pointer, detail }) => ({ pointer: `/recipe${pointer}`, detail }));
  return new AmalgamError(code, errors.map((error) => error.detail).join('; '), { errors: placed });
}
