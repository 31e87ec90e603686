import type { AssetKind } from '@amalgam/contracts';
import { AmalgamError } from '@amalgam/contracts';
import type { AssetContents, AssetRow, Contents } from '@amalgam/database';
import { type FolderView, resolveUri, storeFolder } from '@amalgam/storage';
import { type CheckpointDescription, describeCheckpoint, describeDataset } from '@amalgam/tensors';
import type { Config } from './config.js';
import { describeGraphFiles, type OpenBeside } from './graph-files.js';
import type { Parts } from './parts.js';

interface KindRules {
  /** The API's and the object store's word for all of them. */
  plural: string;
  /** Single files that may be registered. */
  suffixes: readonly string[];
  /** What errors are called that readers of files throw for any kind. */
  invalid: 'invalid_checkpoint' | 'invalid_graph' | 'invalid_dataset';
}

export const KIND_RULES: Readonly<Record<AssetKind, KindRules>> = {
  checkpoint: { plural: 'checkpoints', suffixes: ['.safetensors'], invalid: 'invalid_checkpoint' },
  graph: { plural: 'graphs', suffixes: ['.onnx'], invalid: 'invalid_graph' },
  dataset: { plural: 'datasets', suffixes: ['.safetensors', '.npz'], invalid: 'invalid_dataset' },
};

/** A description is kept in the database and shown in lists; names in a hostile file have any length. */
const MAX_DESCRIPTION_CHARS = 1 << 20;

/** Folder of the object store that holds an uploaded asset's files. */
export function assetPrefix(kind: AssetKind, id: string): string {
  return `${KIND_RULES[kind].plural}/${id}`;
}

export function checkpointPrefix(id: string): string {
  return assetPrefix('checkpoint', id);
}

/** Folder of the object store that holds what a merge writes. */
export function resultPrefix(mergeId: string): string {
  return `results/${mergeId}`;
}

/** The files of an asset, wherever they lie. @throws AmalgamError `uri_not_allowed` when the roots have changed since. */
export async function openAsset(
  parts: Pick<Parts, 'store' | 'buckets'>,
  config: Pick<Config, 'allowedRoots' | 'hub'>,
  row: AssetRow,
): Promise<FolderView> {
  if (row.uri !== null) {
    const { suffixes } = KIND_RULES[row.kind];
    const beside = row.files.map(({ path }) => path);
    return resolveUri(row.uri, config.allowedRoots, parts.buckets, { suffixes, beside }, config.hub);
  }
  if (row.storePrefix === null) throw new AmalgamError('internal', `${row.kind} ${row.id} lies nowhere`);
  return storeFolder(parts.store, row.storePrefix, row.name);
}

/** Where the files of an asset lie that is about to be described. */
export interface Place {
  open: OpenBeside;
  /** What is known, by path. */
  digests?: ReadonlyMap<string, string>;
  /** Everything that lies there belongs to the asset; else only what it is made of, which for checkpoints is the same. */
  whole: boolean;
}

const DESCRIBE: { [K in AssetKind]: (place: Place) => Promise<AssetContents[K]> } = {
  checkpoint: async ({ open, digests }) => describeFolder(await open(), digests),
  graph: async ({ open, digests, whole }) => {
    const { folder, own, description } = await describeGraphFiles(open);
    return { files: await filesOf(folder, whole ? null : own, digests), description };
  },
  dataset: async ({ open, digests, whole }) => {
    const folder = await open();
    const description = await describeDataset(folder);
    return { files: await filesOf(folder, whole ? null : [description.file], digests), description };
  },
};

/**
 * Reads the headers of what lies at a place into what the database keeps.
 *
 * @throws AmalgamError `invalid_checkpoint`, `invalid_graph` or `invalid_dataset`, `unsupported_graph`, `unsafe_format`
 */
export async function describeAsset<K extends AssetKind>(kind: K, place: Place): Promise<AssetContents[K]> {
  const { invalid } = KIND_RULES[kind];
  const contents = await DESCRIBE[kind](place).catch((error: unknown) => {
    // The readers of files and folders serve all kinds, and were written for checkpoints.
    if (!(error instanceof AmalgamError) || error.code !== 'invalid_checkpoint') throw error;
    throw new AmalgamError(invalid, error.detail, { cause: error });
  });
  if (contents.description !== undefined && JSON.stringify(contents.description).length > MAX_DESCRIPTION_CHARS) {
    throw new AmalgamError(
      invalid,
      `its names, inputs, outputs and tensors take more than ${MAX_DESCRIPTION_CHARS} characters to describe`,
    );
  }
  return contents;
}

/** Reads a checkpoint's folder. `digests` are those that are known, by path. @throws as `describeAsset` */
export async function describeFolder(folder: FolderView, digests?: ReadonlyMap<string, string>): Promise<Contents> {
  const [description, files] = await Promise.all([describeCheckpoint(folder), filesOf(folder, null, digests)]);
  return toContents(description, files);
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
    configs: { config: description.config, adapterConfig: description.adapterConfig },
  };
}

/** The folder's files, or those of `paths`, with the digests that are known. */
async function filesOf(
  folder: FolderView,
  paths: readonly string[] | null,
  digests: ReadonlyMap<string, string> | undefined,
): Promise<Contents['files']> {
  const files = (await folder.list()).filter(({ path }) => paths === null || paths.includes(path));
  return files.map((file) => ({ ...file, sha256: digests?.get(file.path) ?? null }));
}
