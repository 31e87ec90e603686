import { AmalgamError, isAmalgamError } from '@amalgam/contracts';
import type { AssetRow } from '@amalgam/database';
import type { MergePlan } from '@amalgam/engine';
import { openAsset } from '@amalgam/runtime';
import type { CachedFile, FolderView } from '@amalgam/storage';
import type { WorkerContext } from '../context.js';

/** What a plan is made from besides headers: layers and tied heads, blocks of scales, an adapter's scale. */
const CONFIGS = ['config.json', 'adapter_config.json'];

/**
 * Opens every input anew and holds its weight files and configs against what was registered. In the order of `plan.inputs`.
 *
 * @throws AmalgamError `checkpoint_changed` naming the file; what opening throws (`uri_not_allowed`, say)
 */
export async function verifyInputs(
  context: WorkerContext,
  plan: MergePlan,
  rows: readonly AssetRow[],
): Promise<FolderView[]> {
  const folders: FolderView[] = [];
  for (const [i, row] of rows.entries()) {
    folders.push(await openVerified(context, row, [...plan.inputs[i]!.checkpoint.weightFiles, ...configsOf(row)]));
  }
  return folders;
}

/** The configs that a checkpoint was registered with. */
export function configsOf({ files }: Pick<AssetRow, 'files'>): string[] {
  return CONFIGS.filter((path) => files.some((file) => file.path === path));
}

/** Opens what a row names, and holds these files against what was registered. @throws as `verifyInputs` */
export async function openVerified(
  { parts, config }: WorkerContext,
  row: AssetRow,
  paths: readonly string[],
): Promise<FolderView> {
  const folder = await existing(row, () => openAsset(parts, config, row));
  const files = new Map((await existing(row, () => folder.list())).map((file) => [file.path, file]));
  for (const path of paths) {
    const then = row.files.find((file) => file.path === path);
    const now = files.get(path);
    if (then === undefined || now === undefined) throw changed(row, path, 'is gone');
    if (BigInt(now.bytes) !== then.bytes) throw changed(row, path, `has ${now.bytes} bytes, not ${then.bytes}`);
    if (then.etag !== null && now.etag !== then.etag) throw changed(row, path, 'was written again');
  }
  return folder;
}

/** What was registered and is not there any more has changed. */
async function existing<T>(row: AssetRow, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (!isAmalgamError(error) || error.code !== 'not_found') throw error;
    throw new AmalgamError('checkpoint_changed', `${row.name} (${row.id}): ${error.detail}`, { cause: error });
  }
}

function changed(row: AssetRow, path: string, what: string): AmalgamError {
  return new AmalgamError('checkpoint_changed', `${row.name} (${row.id}): ${path} ${what} since it was registered`);
}

/** The inputs' weight files on this machine, until `release`. */
export interface LocalInputs {
  pathOf(input: number, file: string): string;
  release(): Promise<void>;
}

/** How many bytes of the inputs are not on this machine. */
export function remoteBytes(plan: MergePlan, folders: readonly FolderView[]): number {
  return weightFilesOf(plan)
    .filter(({ input, path }) => folders[input]!.localPath(path) === null)
    .reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Brings remote inputs into the local cache, one file after the other; a file is read in parts at once already. */
export async function fetchInputs(
  context: WorkerContext,
  plan: MergePlan,
  folders: readonly FolderView[],
  signal: AbortSignal,
  onProgress: (bytesDone: number) => void,
): Promise<LocalInputs> {
  const held = new Map<string, CachedFile>();
  const release = async () => {
    for (const file of held.values()) await file.release();
  };
  let done = 0;
  try {
    for (const { input, path, bytes } of weightFilesOf(plan)) {
      const folder = folders[input]!;
      const options = { signal, onProgress: (part: number) => onProgress(done + part) };
      held.set(`${input}/${path}`, await context.cache.acquire(folder, path, options));
      if (folder.localPath(path) === null) done += bytes;
    }
  } catch (error) {
    await release();
    throw error;
  }
  return { pathOf: (input, file) => held.get(`${input}/${file}`)!.path, release };
}

interface WeightFile {
  input: number;
  path: string;
  bytes: number;
}

function weightFilesOf(plan: MergePlan): WeightFile[] {
  return plan.inputs.flatMap(({ checkpoint }, input) => {
    const sizes = new Map(checkpoint.files.map(({ path, bytes }) => [path, bytes]));
    return checkpoint.weightFiles.map((path) => ({ input, path, bytes: sizes.get(path) ?? 0 }));
  });
}
