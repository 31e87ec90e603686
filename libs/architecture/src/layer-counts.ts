import type { JsonObject } from '@amalgam/tensors';
import { readWords, type Words } from './words.js';

/** Keys under which configs say how many blocks there are. */
const COUNT_KEYS = new Set([
  'num_hidden_layers',
  'n_layer',
  'n_layers',
  'num_layers',
  'num_decoder_layers',
  'num_encoder_layers',
  'decoder_layers',
  'encoder_layers',
  'num_single_layers',
  'num_transformer_layers',
  'num_blocks',
  'layers',
  'depth',
]);
/** Most blocks that a config is believed. */
const MOST_LAYERS = 1_000_000;
const MAX_DEPTH = 4;
const MOST_COUNTS = 256;

/** A number of layers in a config. */
export interface LayerCount {
  /** Keys of the objects around it: [] for the config itself, ['text_config'] say. */
  path: string[];
  key: string;
  value: number;
  words: Words;
  /** The config does not have the key: another stack's count is this one's too, until they differ. */
  implied: boolean;
}

/** All of them, the outermost first. */
export function layerCounts(config: JsonObject | null): LayerCount[] {
  const found: LayerCount[] = [];
  const walk = (object: JsonObject, path: string[]) => {
    const inner: [string, JsonObject][] = [];
    for (const [key, value] of Object.entries(object)) {
      if (COUNT_KEYS.has(key) && Number.isInteger(value) && Number(value) > 0 && Number(value) <= MOST_LAYERS) {
        found.push({ path, key, value: Number(value), words: readWords([...path, key].join('.')), implied: false });
      } else if (isObject(value) && path.length < MAX_DEPTH) {
        inner.push([key, value]);
      }
    }
    for (const [key, value] of inner) walk(value, [...path, key]);
  };
  if (config !== null) walk(config, []);
  return found.slice(0, MOST_COUNTS);
}

/** The object at a path of a config, or null. */
export function configAt(config: JsonObject | null, path: readonly string[]): JsonObject | null {
  let object = config;
  for (const key of path) {
    const next: unknown = object !== null && Object.hasOwn(object, key) ? object[key] : null;
    object = isObject(next) ? next : null;
  }
  return object;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
