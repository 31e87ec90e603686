import { AmalgamError, byCodeUnit, type Dtype, isDtype, quote } from '@amalgam/contracts';
import { assemble, type CheckpointDescription, type CheckpointTensor } from './checkpoint.js';
import { chooseLayout } from './checkpoint-layout.js';
import { type CheckpointConfigs, NO_CONFIGS } from './config.js';
import type { FolderFile } from './folder.js';
import { LENGTH_BYTES } from './safetensors-header.js';
import { bytesOf, elementsOf, isDimension } from './shape.js';

/** A tensor as the database keeps it; the rest of a `CheckpointTensor` follows from it. */
export interface InventoryTensor {
  name: string;
  dtype: Dtype;
  shape: number[];
  file: string;
  /** Offset of its first byte in the file. */
  begin: number;
}

/** A description as JSON. */
export interface Inventory extends CheckpointConfigs {
  files: FolderFile[];
  tensors: InventoryTensor[];
}

/** What to store of a description, so that no header has to be read again. */
export function inventoryOf(description: CheckpointDescription): Inventory {
  return {
    files: description.files.map(({ path, bytes }) => ({ path, bytes })),
    tensors: [...description.tensors.values()].map(({ name, dtype, shape, file, begin }) => ({
      name,
      dtype,
      shape,
      file,
      begin,
    })),
    config: description.config,
    adapterConfig: description.adapterConfig,
  };
}

/**
 * The description that `inventoryOf` was given, from what was stored of it; nothing is read. `files` must be
 * all files of the checkpoint. `label` is what error messages call it. `configs` are absent where nobody kept them.
 *
 * Errors: `invalid_checkpoint` when the parts contradict one another.
 */
export function checkpointFromInventory(
  files: readonly FolderFile[],
  tensors: readonly InventoryTensor[],
  label = 'stored checkpoint',
  configs: CheckpointConfigs = NO_CONFIGS,
): CheckpointDescription {
  const sorted = files.map(({ path, bytes }) => ({ path, bytes })).sort((a, b) => byCodeUnit(a.path, b.path));
  const sizes = new Map(sorted.map(({ path, bytes }) => [path, bytes]));
  const layout = chooseLayout(label, sorted);
  const weightFiles =
    layout.weights === 'file' ? [layout.file] : [...new Set(tensors.map((tensor) => tensor.file))].sort(byCodeUnit);
  const weights = new Set(weightFiles);

  const names = new Set<string>();
  const complete = tensors.map((tensor) => {
    const fail = (problem: string): AmalgamError =>
      new AmalgamError('invalid_checkpoint', `${label}: tensor ${quote(tensor.name)}: ${problem}`);
    if (names.has(tensor.name)) throw fail('is there twice');
    names.add(tensor.name);
    if (!weights.has(tensor.file)) throw fail(`${quote(tensor.file)} is not one of the weight files`);
    return completeTensor(tensor, sizes.get(tensor.file), fail);
  });
  return assemble(sorted, layout, weightFiles, complete, configs);
}

function completeTensor(
  { name, dtype, shape, file, begin }: InventoryTensor,
  fileBytes: number | undefined,
  fail: (problem: string) => AmalgamError,
): CheckpointTensor {
  if (fileBytes === undefined) throw fail(`there is no file ${quote(file)}`);
  if (!isDtype(dtype)) throw fail(`unknown dtype ${quote(String(dtype))}`);
  if (!shape.every(isDimension)) throw fail(`[${shape.join(', ')}] is not a shape`);
  const elements = elementsOf(shape);
  const bytes = elements === null ? null : bytesOf(dtype, elements);
  if (elements === null || bytes === null) throw fail(`[${shape.join(', ')}] has more than 2^53 elements or bytes`);
  if (!Number.isSafeInteger(begin) || begin < LENGTH_BYTES || begin + bytes > fileBytes) {
    throw fail(`${bytes} bytes from byte ${begin} are not in ${quote(file)}, which has ${fileBytes} bytes`);
  }
  return { name, dtype, shape: [...shape], elements, bytes, file, begin };
}
