import { AmalgamError, byCodeUnit, DTYPES, type Dtype, quote } from '@amalgam/contracts';
import { mapBounded } from './bounded.js';
import { type CheckpointLayout, chooseLayout } from './checkpoint-layout.js';
import { type CheckpointConfigs, readConfigs } from './config.js';
import type { FolderFile, ReadableFolder } from './folder.js';
import { foreignFormat, MAGIC_BYTES } from './foreign-formats.js';
import { readHeader, type SafetensorsHeader } from './safetensors-header.js';
import { checkShardFiles, readShardIndex, type ShardIndex } from './shard-index.js';
import type { ByteSource } from './source.js';

/** Headers read at once: enough to hide a remote store's latency, few enough for its limits and our memory. */
const HEADERS_AT_ONCE = 8;
/** Four times the largest index seen; a bound on the memory that a description takes. */
const MAX_TENSORS = 2_000_000;

export interface CheckpointTensor {
  name: string;
  dtype: Dtype;
  shape: number[];
  elements: number;
  bytes: number;
  /** The weight file that holds it, relative to the folder. */
  file: string;
  /** Where its bytes begin in that file. */
  begin: number;
}

export interface CheckpointDescription extends CheckpointConfigs {
  kind: 'model' | 'adapter';
  /** Every file of the folder, by path. */
  files: FolderFile[];
  /** The files that hold tensors, by name. */
  weightFiles: string[];
  /** The index of a sharded checkpoint, which is neither a weight file nor a side file. */
  indexFile: string | null;
  /** Everything else: config, tokenizer, and whatever lies about. */
  sideFiles: string[];
  /** By name, in code unit order. */
  tensors: Map<string, CheckpointTensor>;
  /** Elements of all tensors. */
  parameters: number;
  /** Bytes of all tensors. */
  bytes: number;
  /** Elements by dtype, of the dtypes that occur. */
  dtypes: Record<string, number>;
}

/**
 * Describes the checkpoint in a folder from its file names, configs and safetensors headers; no tensor data is read.
 * Which files hold the weights: see `chooseLayout`. A sharded checkpoint's index and its shards must agree on
 * every tensor.
 *
 * Errors: `invalid_checkpoint` naming folder, file, tensor and rule; `unsafe_format` for pickle, by name or
 * content; `storage_error` when the store fails.
 */
export async function describeCheckpoint(folder: ReadableFolder): Promise<CheckpointDescription> {
  const files = [...(await folder.list())].sort((a, b) => byCodeUnit(a.path, b.path));
  await refuseForeignFile(folder, files);
  const layout = chooseLayout(folder.label, files);
  const index = layout.weights === 'index' ? await readIndex(folder, layout.indexFile, files) : null;
  const weightFiles = layout.weights === 'index' ? (index?.shards ?? []) : [layout.file];

  let count = 0;
  const headers = await mapBounded(weightFiles, HEADERS_AT_ONCE, async (file) => {
    const header = await using(folder.source(file), readHeader);
    count += header.tensors.length;
    if (count > MAX_TENSORS) {
      throw new AmalgamError('invalid_checkpoint', `${folder.label}: has more than ${MAX_TENSORS} tensors`);
    }
    return header;
  });
  const tensors = gather(folder.label, weightFiles, headers);
  if (index !== null && layout.weights === 'index') checkIndex(`${folder.label}/${layout.indexFile}`, index, tensors);
  return assemble(files, layout, weightFiles, tensors, await readConfigs(folder, files));
}

/** Completes a description: sorts, sums, and tells side files from the rest. */
export function assemble(
  files: readonly FolderFile[],
  layout: CheckpointLayout,
  weightFiles: readonly string[],
  tensors: readonly CheckpointTensor[],
  configs: CheckpointConfigs,
): CheckpointDescription {
  const indexFile = layout.weights === 'index' ? layout.indexFile : null;
  const used = new Set<string>(weightFiles);
  if (indexFile !== null) used.add(indexFile);
  const sorted = [...tensors].sort((a, b) => byCodeUnit(a.name, b.name));

  const elements = new Map<Dtype, number>();
  let parameters = 0;
  let bytes = 0;
  for (const tensor of sorted) {
    parameters += tensor.elements;
    bytes += tensor.bytes;
    elements.set(tensor.dtype, (elements.get(tensor.dtype) ?? 0) + tensor.elements);
  }
  const dtypes: Record<string, number> = {};
  for (const dtype of DTYPES) {
    const ofDtype = elements.get(dtype);
    if (ofDtype !== undefined) dtypes[dtype] = ofDtype;
  }
  return {
    kind: layout.kind,
    files: [...files],
    weightFiles: [...weightFiles],
    indexFile,
    sideFiles: files.map((file) => file.path).filter((path) => !used.has(path)),
    tensors: new Map(sorted.map((tensor) => [tensor.name, tensor])),
    parameters,
    bytes,
    dtypes,
    config: configs.config,
    adapterConfig: configs.adapterConfig,
  };
}

/** A single file without the extension may still be recognised by its first bytes, for a better message. */
async function refuseForeignFile(folder: ReadableFolder, files: readonly FolderFile[]): Promise<void> {
  const [only, ...others] = files;
  if (only === undefined || others.length > 0 || only.path.endsWith('.safetensors')) return;
  const error = await using(folder.source(only.path), async (source) => {
    const start = await source.read(0, Math.min(await source.size(), MAGIC_BYTES));
    return foreignFormat(source.name, start);
  });
  if (error !== null) throw error;
}

async function readIndex(folder: ReadableFolder, indexFile: string, files: readonly FolderFile[]): Promise<ShardIndex> {
  const index = await using(folder.source(indexFile), readShardIndex);
  checkShardFiles(`${folder.label}/${indexFile}`, index, new Set(files.map((file) => file.path)));
  return index;
}

function gather(
  label: string,
  weightFiles: readonly string[],
  headers: readonly SafetensorsHeader[],
): CheckpointTensor[] {
  const seen = new Map<string, string>();
  const tensors: CheckpointTensor[] = [];
  headers.forEach((header, i) => {
    const file = weightFiles[i] ?? '';
    for (const { name, dtype, shape, elements, begin, end } of header.tensors) {
      const other = seen.get(name);
      if (other !== undefined) {
        throw new AmalgamError(
          'invalid_checkpoint',
          `${label}: tensor ${quote(name)} is in two shards, ${quote(other)} and ${quote(file)}`,
        );
      }
      seen.set(name, file);
      tensors.push({ name, dtype, shape, elements, bytes: end - begin, file, begin });
    }
  });
  return tensors;
}

/** The index and the shards' headers must say the same of every tensor. */
function checkIndex(name: string, index: ShardIndex, tensors: readonly CheckpointTensor[]): void {
  const fail = (problem: string): AmalgamError => new AmalgamError('invalid_checkpoint', `${name}: ${problem}`);
  const found = new Set<string>();
  for (const tensor of tensors) {
    found.add(tensor.name);
    const shard = index.shardOf.get(tensor.name);
    if (shard === undefined) {
      throw fail(`tensor ${quote(tensor.name)} is in shard ${quote(tensor.file)} but not in the index`);
    }
    if (shard !== tensor.file) {
      throw fail(
        `the index has tensor ${quote(tensor.name)} in shard ${quote(shard)}, but it is in ${quote(tensor.file)}`,
      );
    }
  }
  for (const [tensor, shard] of index.shardOf) {
    if (!found.has(tensor)) throw fail(`tensor ${quote(tensor)} is in the index but not in shard ${quote(shard)}`);
  }
}

/** Uses a source and closes it, whatever happens. */
async function using<T>(source: ByteSource, work: (source: ByteSource) => Promise<T>): Promise<T> {
  try {
    return await work(source);
  } finally {
    await source.close?.();
  }
}
