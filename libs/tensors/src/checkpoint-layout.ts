import { AmalgamError, byCodeUnit, quote, quoteList } from '@amalgam/contracts';
import type { FolderFile } from './folder.js';
import { foreignName, hasPickleName, pickleNamed } from './foreign-formats.js';

const INDEX_NAME = 'model.safetensors.index.json';
const MODEL_NAME = 'model.safetensors';
const ADAPTER_NAME = 'adapter_model.safetensors';
const ADAPTER_CONFIG = 'adapter_config.json';

/** Where a folder keeps its tensors. */
export type CheckpointLayout =
  | { kind: 'model' | 'adapter'; weights: 'index'; indexFile: string }
  | { kind: 'model' | 'adapter'; weights: 'file'; file: string };

/**
 * Finds the weights among a folder's files, by name alone. In this order, at top level only:
 * `model.safetensors.index.json`; `model.safetensors`; `adapter_model.safetensors` beside
 * `adapter_config.json` (a LoRA adapter); the only `*.safetensors.index.json`; the only `*.safetensors`.
 *
 * Errors: `invalid_checkpoint` when there are none or several, `unsafe_format` when the only weights are
 * pickle files by their names.
 */
export function chooseLayout(label: string, files: readonly FolderFile[]): CheckpointLayout {
  const top = files
    .map((file) => file.path)
    .filter((path) => !path.includes('/'))
    .sort(byCodeUnit);
  if (top.includes(INDEX_NAME)) return { kind: 'model', weights: 'index', indexFile: INDEX_NAME };
  if (top.includes(MODEL_NAME)) return { kind: 'model', weights: 'file', file: MODEL_NAME };
  if (top.includes(ADAPTER_NAME) && top.includes(ADAPTER_CONFIG)) {
    return { kind: 'adapter', weights: 'file', file: ADAPTER_NAME };
  }

  const indexes = top.filter((path) => path.endsWith('.safetensors.index.json'));
  const [index, ...otherIndexes] = indexes;
  if (otherIndexes.length > 0) {
    throw refuse(label, `has ${indexes.length} indexes and none is named ${INDEX_NAME}: ${quoteList(indexes)}`);
  }
  if (index !== undefined) return { kind: 'model', weights: 'index', indexFile: index };

  const weights = top.filter((path) => path.endsWith('.safetensors'));
  const [file, ...others] = weights;
  if (others.length > 0) {
    throw refuse(
      label,
      `has ${weights.length} safetensors files but no index and none named ${MODEL_NAME}: ${quoteList(weights)}`,
    );
  }
  if (file !== undefined) return { kind: 'model', weights: 'file', file };
  throw noWeights(label, files);
}

/** Says why there is nothing to read: the likeliest mistake first. */
function noWeights(label: string, files: readonly FolderFile[]): AmalgamError {
  const paths = files.map((file) => file.path).sort(byCodeUnit);
  const pickles = paths.filter(hasPickleName);
  if (pickles.length > 0) return pickleNamed(label, pickles);

  const below = paths.find((path) => path.endsWith('.safetensors'));
  if (below !== undefined) {
    const folder = below.slice(0, below.lastIndexOf('/'));
    return refuse(label, `has no safetensors file at its top level, but in ${quote(folder)}; name that folder`);
  }
  for (const path of paths) {
    const format = foreignName(path);
    if (format !== null) return refuse(label, `has no safetensors file; ${quote(path)} is ${format}, not read here`);
  }
  const found = paths.length === 0 ? 'it is empty' : `it has ${quoteList(paths)}`;
  return refuse(label, `has no safetensors file; ${found}`);
}

function refuse(label: string, problem: string): AmalgamError {
  return new AmalgamError('invalid_checkpoint', `${label}: ${problem}`);
}
