import { editConfig } from '@amalgam/architecture';
import { fileChanged } from '@amalgam/contracts';
import type { ReadableFolder } from '@amalgam/tensors';
import { isTokenizerFile, rebuildTokenizer } from '@amalgam/tokenizers';
import { resultConfig } from './result-config.js';
import type { MergePlan } from './types.js';

/** Side files of a model that its result needs to load; whatever else lies beside the weights is not ours to spread. */
const SIDE_FILES = /^(config|generation_config|preprocessor_config|processor_config)\.json$/;
const LARGEST_SIDE_FILE = 256 * 2 ** 20;

/** A small file that a result is made from. `input`: index into the plan's. */
export interface SideFile {
  input: number;
  path: string;
  bytes: number;
}

/** The small files that a result is made from, besides what its plan has of tokens; they must be what they were when it was planned. */
export function sideFilesOf({ tokens, donor, inputs, adapter }: MergePlan): SideFile[] {
  if (adapter !== null) return [];
  const filesOf = (input: number, wanted: (path: string) => boolean) => {
    const { files, sideFiles } = inputs[input]!.checkpoint;
    const sides = new Set(sideFiles);
    const own = files.filter(({ path, bytes }) => sides.has(path) && wanted(path) && bytes <= LARGEST_SIDE_FILE);
    return own.map(({ path, bytes }) => ({ input, path, bytes }));
  };
  const configs = filesOf(donor, (path) => SIDE_FILES.test(path));
  return [...configs, ...filesOf(tokens?.donor ?? donor, isTokenizerFile)];
}

type Put = (path: string, content: string | Uint8Array) => Promise<void>;

/**
 * Writes config and tokenizer of a result: the donor's, with what is true of the result. `folderOf`: the files of one of `plan.inputs`.
 *
 * @throws AmalgamError `checkpoint_changed` when a file is not the one that was planned with; `invalid_checkpoint` when config.json, or a tokenizer file that must change, is not what its name says
 */
export async function writeSideFiles(
  plan: MergePlan,
  folderOf: (input: number) => ReadableFolder,
  put: Put,
): Promise<void> {
  const { tokens } = plan;
  const { checkpoint, reference } = plan.inputs[plan.donor]!;
  const folder = folderOf(plan.donor);
  for (const { path, bytes } of sideFilesOf(plan)) {
    if (tokens !== null && isTokenizerFile(path)) continue;
    const source = folder.source(path);
    try {
      const now = await source.size();
      if (now !== bytes) throw fileChanged(`${reference}/${path}`, `has ${now} bytes, not ${bytes}`);
      const content = await source.read(0, bytes);
      if (path === 'config.json')
        await put(path, resultConfig(content, checkpoint.config, plan, `${reference}/${path}`));
      else if (path === 'generation_config.json') await put(path, withIds(content, tokens?.generation ?? {}));
      else await put(path, content);
    } finally {
      await source.close?.();
    }
  }
  if (tokens === null) return;
  const { files } = plan.inputs[tokens.donor]!.checkpoint;
  for (const [path, content] of await rebuildTokenizer(folderOf(tokens.donor), files, tokens)) await put(path, content);
}

/** Changes are planned only for a file that was read as an object. */
function withIds(content: Uint8Array, changes: Record<string, unknown>): string | Uint8Array {
  return Object.keys(changes).length === 0 ? content : editConfig(new TextDecoder().decode(content), changes);
}
