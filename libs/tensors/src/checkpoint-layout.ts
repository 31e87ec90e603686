import { AmalgamError, byCodeUnit, quote, quoteList } from '@amalgam/contracts';
import type { FolderFile } from './folder.js';
import { foreignName, hasPickleName, pickleNamed } from './foreign-formats.js';

const INDEX_NAME = 'model.safetensors.index.json';
const MODEL_NAME = 'model.safetensors';
const ADAPTER_NAME = 'adapter_model.safetensors';
const ADAPTER_CONFIG = 'adapter_config.json';
/** Of a diffusers pipeline: its parts are in folders of their own. */
const PIPELINE_NAME = 'model_index.json';
const INDEX_SUFFIX = '.safetensors.index.json';
const FILE_SUFFIX = '.safetensors';

/** Where a folder keeps its tensors. */
export type CheckpointLayout =
  | { kind: 'model' | 'adapter'; weights: 'index'; indexFile: string }
  | { kind: 'model' | 'adapter'; weights: 'file'; file: string };

/**
 * Finds the weights among a folder's files, by name alone. In this order, at top level only:
 * `model.safetensors.index.json`; `model.safetensors`; `adapter_model.safetensors` beside
 * `adapter_config.json` (a LoRA adapter); the only `*.safetensors.index.json`; the only `*.safetensors`. Variants, as
 * `x.fp16.safetensors` is of `x.safetensors`, do not count beside what they are variants of.
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

  const candidates = withoutVariants(top);
  const indexes = candidates.filter((path) => path.endsWith(INDEX_SUFFIX));
  const [index, ...otherIndexes] = indexes;
  if (otherIndexes.length > 0) {
    throw refuse(label, `has ${indexes.length} indexes and none is named ${INDEX_NAME}: ${quoteList(indexes)}`);
  }
  if (index !== undefined) return { kind: 'model', weights: 'index', indexFile: index };

  const weights = candidates.filter((path) => path.endsWith(FILE_SUFFIX));
  const [file, ...others] = weights;
  if (others.length > 0) {
    throw refuse(
      label,
      `has ${weights.length} safetensors files but no index and none named ${MODEL_NAME}: ${quoteList(weights)}; ` +
        'name the file that is meant',
    );
  }
  if (file !== undefined) return { kind: 'model', weights: 'file', file };
  throw noWeights(label, files);
}

/** Leaves out the files of variants whose plain form is there, too. */
function withoutVariants(paths: readonly string[]): string[] {
  const stems = new Set(paths.map(stemOf));
  return paths.filter((path) => {
    const stem = stemOf(path);
    const plain = /^(.+)\.[^.]+$/.exec(stem ?? '')?.[1];
    return plain === undefined || !stems.has(plain);
  });
}

/** The name without what says that it holds weights; null when it holds none. */
function stemOf(path: string): string | null {
  const suffix = [INDEX_SUFFIX, FILE_SUFFIX].find((end) => path.endsWith(end));
  return suffix === undefined ? null : path.slice(0, -suffix.length);
}

/** Says why there is nothing to read: the likeliest mistake first. */
function noWeights(label: string, files: readonly FolderFile[]): AmalgamError {
  const paths = files.map((file) => file.path).sort(byCodeUnit);
  const pickles = paths.filter(hasPickleName);
  if (pickles.length > 0) return pickleNamed(label, pickles);

  const below = paths.filter((path) => path.endsWith(FILE_SUFFIX)).map((path) => path.slice(0, path.lastIndexOf('/')));
  const folders = [...new Set(below)];
  if (folders.length > 0) {
    const what = paths.includes(PIPELINE_NAME)
      ? 'is a pipeline, whose parts are checkpoints of their own: there is no safetensors file at its top level'
      : 'has no safetensors file at its top level';
    const name = folders.length === 1 ? 'name that folder' : 'name one of these folders';
    return refuse(label, `${what}, but in ${quoteList(folders)}; ${name}`);
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
