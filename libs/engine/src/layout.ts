import { DEFAULT_SHARD_BYTES, dtypeBytes } from '@amalgam/contracts';
import { encodeHeader } from '@amalgam/tensors';
import type { CopiedTensor, MaskFile, MergedTensor, OutputFile, PlannedTensor } from './types.js';

/** A tensor of the result before it has a place in a file. */
export type Placeable = Omit<PlannedTensor, 'file' | 'begin'>;

export interface Layout {
  merged: MergedTensor[];
  copied: CopiedTensor[];
  heads: CopiedTensor[];
  masks: MaskFile[];
  files: OutputFile[];
}

type Unplaced<T extends PlannedTensor> = Omit<T, 'file' | 'begin'>;

/** Transformers reads only files whose metadata says which framework's tensors they are. */
const METADATA = { format: 'pt' };

/**
 * Deals the tensors out to files in order of name, as Hugging Face names them: model.safetensors, or
 * model-00001-of-0000N.safetensors when they hold more than `shardBytes`; a head file for what each model keeps.
 * Inside a file wide dtypes come first, so that every tensor is aligned to its width.
 */
export function layOut(
  merged: Unplaced<MergedTensor>[],
  copied: Unplaced<CopiedTensor>[],
  heads: { path: string; tensors: Unplaced<CopiedTensor>[] }[],
  shardBytes: number = DEFAULT_SHARD_BYTES,
  masks: { path: string; model: number; number: string }[] = [],
): Layout {
  const files: OutputFile[] = [];
  const placed = new Map<Placeable, { file: number; begin: number }>();

  const addFile = (path: string, tensors: Placeable[]) => {
    const ordered = [...tensors].sort((a, b) => dtypeBytes(b.dtype) - dtypeBytes(a.dtype) || byName(a, b));
    const { header, begins, fileBytes } = encodeHeader(ordered, METADATA);
    ordered.forEach((tensor, i) => {
      placed.set(tensor, { file: files.length, begin: begins[i]! });
    });
    files.push({ path, header, bytes: fileBytes, tensors: tensors.length });
  };

  const shards = toShards([...merged, ...copied].sort(byName), shardBytes);
  shards.forEach((shard, i) => {
    addFile(shards.length === 1 ? 'model.safetensors' : shardName(i + 1, shards.length), shard);
  });
  for (const { path, tensors } of heads) addFile(path, tensors);
  const ordered = [...merged].sort(byName);
  const maskFiles = masks.map(({ path, model, number: name }): MaskFile => {
    const number: Placeable = { name, dtype: 'F32', shape: [1], elements: 1, bytes: 4 };
    const bits = ordered.map(({ name, elements }): Placeable => {
      const bytes = maskBytes(elements);
      return { name, dtype: 'U8', shape: [bytes], elements: bytes, bytes };
    });
    addFile(path, [number, ...bits]);
    const { file, begin } = placed.get(number)!;
    return { file, model, number: begin, begins: bits.map((tensor) => placed.get(tensor)!.begin) };
  });

  const withPlace = <T extends PlannedTensor>(tensor: Unplaced<T>) => ({ ...tensor, ...placed.get(tensor)! }) as T;
  return {
    merged: ordered.map((tensor) => withPlace<MergedTensor>(tensor)),
    copied: copied.map((tensor) => withPlace<CopiedTensor>(tensor)),
    heads: heads.flatMap((head) => head.tensors.map((tensor) => withPlace<CopiedTensor>(tensor))),
    masks: maskFiles,
    files,
  };
}

/** heads/<name>.safetensors for each model that keeps tensors. */
export function placeHeads<T extends { name: string; tensors: unknown[] }>(heads: T[]): (T & { path: string })[] {
  return withPaths(
    'heads',
    heads.filter(({ tensors }) => tensors.length > 0),
  );
}

/** <folder>/<name>.safetensors, told apart also where a file system ignores case. */
export function withPaths<T extends { name: string }>(folder: string, items: T[]): (T & { path: string })[] {
  const taken = new Set<string>();
  return items.map((item) => {
    let name = item.name;
    for (let n = 2; taken.has(name.toLowerCase()); n++) name = `${item.name}-${n}`;
    taken.add(name.toLowerCase());
    return { ...item, path: `${folder}/${name}.safetensors` };
  });
}

function toShards(tensors: Placeable[], shardBytes: number): Placeable[][] {
  const shards: Placeable[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    if (bytes > 0 && bytes + tensor.bytes > shardBytes) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(tensor);
    bytes += tensor.bytes;
  }
  return shards;
}

function shardName(number: number, count: number): string {
  return `model-${pad(number)}-of-${pad(count)}.safetensors`;
}

function pad(number: number): string {
  return String(number).padStart(5, '0');
}

/** By code unit, as everywhere: no locale changes the order. */
function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** Bytes of a mask: eight entries each. */
export function maskBytes(elements: number): number {
  return Math.ceil(elements / 8);
}
