import type { JsonObject } from '@amalgam/tensors';
import { configAt, type LayerCount } from './layer-counts.js';

/** Config values that say something of each layer, brought along when layers are chosen anew. */

/** Where a layer of the result comes from. */
export interface LayerOrigin {
  config: JsonObject | null;
  /** Of the stack in that input. */
  counts: readonly LayerCount[];
  count: number;
  index: number;
}

/** Keys of lists, or of strings as long, with an entry for each layer. */
const PER_LAYER = /layer|block|types|pattern|sparsity|heads|multiplier|intermediate_size|ffn|window|rope/;
/** Keys of lists of layers' numbers. */
const LAYER_LIST = /(_layers|_layer_ids|_idx|_idxs|_indices|_indexes)$/;
/** Keys of a number of layers at the beginning that differ from the rest. */
const LEADING_LAYERS = /^(first_k_dense_replace|num_dense_layers|max_window_layers)$/;
/** Keys of a number n, every n-th layer differing from the rest. */
const EVERY_NTH = /(^|_)(interval|period|step|freq|frequency|pattern)$/;

/** What of the donor's config changes when its stack has these layers, as dotted paths; `warn` hears of what cannot follow. */
export function followLayers(
  donor: { config: JsonObject | null; counts: readonly LayerCount[]; count: number },
  layers: readonly LayerOrigin[],
  warn: (text: string) => void,
): Record<string, unknown> {
  const changes: Record<string, unknown> = {};
  const done = new Set<string>();
  for (const { path, key } of donor.counts) {
    const object = configAt(donor.config, path);
    if (object === null) continue;
    const set = (name: string, value: unknown) => {
      if (JSON.stringify(object[name]) !== JSON.stringify(value)) changes[[...path, name].join('.')] = value;
    };
    set(key, layers.length);
    if (done.has(path.join('.'))) continue;
    done.add(path.join('.'));
    for (const [name, value] of Object.entries(object)) {
      const followed = follow(name, value, donor.count, layers, (origin) => originalValue(origin, path, name));
      if (followed === CANNOT)
        warn(`${[...path, name].join('.')} of config.json does not fit the layers that were chosen`);
      else if (followed !== undefined) set(name, followed);
    }
  }
  return changes;
}

const CANNOT = Symbol('the value cannot follow');

/** The new value; undefined: it says nothing of layers. */
function follow(
  name: string,
  value: unknown,
  count: number,
  layers: readonly LayerOrigin[],
  original: (layer: LayerOrigin) => unknown,
): unknown {
  if (Array.isArray(value)) {
    const entries: unknown[] = value;
    if (LAYER_LIST.test(name) && isLayerList(entries, count)) {
      return layers.flatMap((layer, j) => (asArray(original(layer), value).includes(layer.index) ? [j] : []));
    }
    if (value.length !== count || !PER_LAYER.test(name)) return undefined;
    const followed = layers.map((layer) => asArray(original(layer), value)[layer.index]);
    return followed.includes(undefined) ? CANNOT : followed;
  }
  if (typeof value === 'string') {
    if (value.length !== count || !/pattern/.test(name)) return undefined;
    const followed = layers.map((layer) => String(original(layer) ?? value)[layer.index]);
    return followed.includes(undefined) ? CANNOT : followed.join('');
  }
  if (typeof value !== 'number' || !Number.isInteger(value)) return undefined;
  if (LEADING_LAYERS.test(name)) {
    const differs = layers.map((layer) => layer.index < Number(original(layer) ?? value));
    const leading = differs.indexOf(false);
    if (leading < 0) return layers.length;
    return differs.includes(true, leading) ? CANNOT : leading;
  }
  if (EVERY_NTH.test(name) && value > 1 && value <= count) {
    return layers.every(({ index }, j) => index % value === j % value) ? undefined : CANNOT;
  }
  return undefined;
}

/** Rising numbers of layers. As many as there are layers, they would name all: unless they are 0 and 1, that is what they do. */
function isLayerList(entries: readonly unknown[], count: number): boolean {
  const isRising = entries.every(
    (entry, i) => Number.isInteger(entry) && Number(entry) < count && Number(entry) > Number(entries[i - 1] ?? -1),
  );
  return isRising && (entries.length !== count || count > 2);
}

function asArray(value: unknown, otherwise: readonly unknown[]): readonly unknown[] {
  return Array.isArray(value) ? value : otherwise;
}

/** The value under the same key of the input that a layer comes from, where its stack's config lies. */
function originalValue({ config, counts }: LayerOrigin, path: readonly string[], name: string): unknown {
  const own = counts.find((count) => count.path.join('.') === path.join('.')) ?? counts[0];
  const object = configAt(config, own?.path ?? path);
  return object !== null && Object.hasOwn(object, name) ? object[name] : undefined;
}
