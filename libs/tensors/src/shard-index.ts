import { isUtf8 } from 'node:buffer';
import { AmalgamError, byCodeUnit, quote, quoteList } from '@amalgam/contracts';
import { hasPickleName, pickleNamed } from './foreign-formats.js';
import { JsonReader } from './json-reader.js';
import type { ByteSource } from './source.js';

export const MAX_SHARDS = 10_000;
/** 60 MB with 497 000 tensors has been seen; what is larger is no index. */
export const MAX_INDEX_BYTES = 64 * 2 ** 20;

export interface ShardIndex {
  /** Tensor name to the shard that holds it. */
  shardOf: Map<string, string>;
  /** Every shard, once, by name in code unit order. */
  shards: string[];
}

/**
 * Reads a `*.safetensors.index.json`: `{ "weight_map": { tensor: shard } }`; other members are ignored, since
 * writers disagree about them. Shards must be base names, so that an index cannot reach outside its folder.
 *
 * Errors: `invalid_checkpoint` naming the index and the tensor; `unsafe_format` when a shard is a pickle file.
 */
export async function readShardIndex(source: ByteSource): Promise<ShardIndex> {
  const fail = (problem: string): AmalgamError => new AmalgamError('invalid_checkpoint', `${source.name}: ${problem}`);
  const size = await source.size();
  if (size > MAX_INDEX_BYTES) throw fail(`the index has ${size} bytes; at most ${MAX_INDEX_BYTES} are allowed`);
  const bytes = await source.read(0, size);
  if (!isUtf8(bytes)) throw fail('the index is not valid UTF-8');

  const shardOf = new Map<string, string>();
  const checked = new Set<string>();
  const reader = new JsonReader(bytes, (problem) => fail(`the index is not valid JSON: ${problem}`));
  if (reader.peek() !== 'object') throw fail(`the index must be a JSON object, not ${reader.peek()}`);
  let found = false;
  reader.readObject((key) => {
    if (key !== 'weight_map') return reader.skip();
    if (reader.peek() !== 'object') throw fail(`weight_map must be an object, not ${reader.peek()}`);
    found = true;
    reader.readObject((tensor) => {
      if (reader.peek() !== 'string') {
        throw fail(`weight_map: the shard of ${quote(tensor)} must be a string, not ${reader.peek()}`);
      }
      const shard = reader.readString();
      if (!checked.has(shard)) {
        checkShardName(source.name, tensor, shard);
        checked.add(shard);
        if (checked.size > MAX_SHARDS) throw fail(`weight_map names more than ${MAX_SHARDS} shards`);
      }
      shardOf.set(tensor, shard);
    });
  });
  reader.end();
  if (!found) throw fail('the index has no weight_map');
  if (shardOf.size === 0) throw fail('weight_map names no tensors');
  return { shardOf, shards: [...checked].sort(byCodeUnit) };
}

/** Checks that the folder has the index's shards, all of them. `paths`: the folder's files. */
export function checkShardFiles(name: string, index: ShardIndex, paths: ReadonlySet<string>): void {
  const missing = index.shards.filter((shard) => !paths.has(shard));
  if (missing.length > 0) {
    throw new AmalgamError(
      'invalid_checkpoint',
      `${name}: ${missing.length} of ${index.shards.length} shards are not in the folder: ${quoteList(missing)}`,
    );
  }
  // A shard of the same set that no tensor is looked for in: the index lost its tensors. Other safetensors
  // files beside the shards are common (consolidated.safetensors) and stay side files.
  const named = new Set(index.shards);
  const sets = new Set(index.shards.map(shardSet));
  const unused = [...paths].filter((path) => !named.has(path) && shardSet(path) !== null && sets.has(shardSet(path)));
  if (unused.length > 0) {
    throw new AmalgamError(
      'invalid_checkpoint',
      `${name}: the index does not name ${quoteList(unused)}, a shard of the same set`,
    );
  }
}

/** `model-*-of-00003` for `model-00001-of-00003.safetensors`; null for names that are numbered otherwise. */
function shardSet(path: string): string | null {
  const match = /^([^/]*)-\d{5}-of-(\d{5})\.safetensors$/.exec(path);
  return match === null ? null : `${match[1]}-*-of-${match[2]}`;
}

function checkShardName(name: string, tensor: string, shard: string): void {
  if (/[/\\\0]/.test(shard) || shard === '' || shard === '.' || shard.includes('..')) {
    throw new AmalgamError(
      'invalid_checkpoint',
      `${name}: weight_map: the shard of ${quote(tensor)} is ${quote(shard)}; it must be a file name, without folders`,
    );
  }
  if (hasPickleName(shard)) throw pickleNamed(name, [shard]);
  if (!shard.endsWith('.safetensors')) {
    throw new AmalgamError(
      'invalid_checkpoint',
      `${name}: weight_map: the shard of ${quote(tensor)} is ${quote(shard)}, not a .safetensors file`,
    );
  }
}
