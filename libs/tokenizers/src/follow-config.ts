import type { VocabularyPlan } from './plan-vocabulary.js';
import { isObject } from './tokenizer-files.js';
import type { TokenizerDescription } from './types.js';

/** How deep configs of multimodal models are nested. */
const DEPTH = 3;
const TOKEN_ID = /_token_(id|ids|index)$/;

export interface ConfigOwner {
  config: Record<string, unknown> | null;
  tokenizer: TokenizerDescription | null;
  /** Rows of its embeddings. */
  rows: number | null;
}

/**
 * What must change in a config so that it is true of the result, as dotted paths to values: `vocab_size`, and, where the
 * vocabulary is another model's, the ids of tokens.
 *
 * `owner`: the model that the config is copied from. `donor`: the one whose vocabulary the result has, with its own file
 * of the same name, from which the ids are taken.
 */
export function followVocabulary(
  plan: Pick<VocabularyPlan, 'rows' | 'tokens'>,
  owner: ConfigOwner,
  donor: ConfigOwner | null,
): Record<string, unknown> {
  const changes: Record<string, unknown> = {};
  if (owner.config === null) return changes;
  if (owner.rows !== null && owner.rows !== plan.rows) {
    const sizes = [...leaves(owner.config)].filter(([path, value]) => isSize(path) && value === owner.rows);
    const paths = sizes.map(([path]) => path);
    if (paths.length === 0) paths.push(isObject(owner.config['text_config']) ? 'text_config.vocab_size' : 'vocab_size');
    for (const path of paths) changes[path] = plan.rows;
  }
  if (donor === null) return changes;
  const stated = new Map(leaves(donor.config ?? {}));
  const words = new Map([...(owner.tokenizer?.tokens ?? [])].map(([token, id]) => [id, token]));
  const move = (id: unknown): unknown => {
    const word = typeof id === 'number' ? words.get(id) : undefined;
    return word === undefined ? null : (donor.tokenizer?.tokens.get(word) ?? null);
  };
  for (const [path, value] of leaves(owner.config)) {
    if (!TOKEN_ID.test(path) || value === null) continue;
    const moved = Array.isArray(value) ? value.map(move).filter((id) => id !== null) : move(value);
    const next = stated.get(path) ?? moved;
    if (JSON.stringify(next) !== JSON.stringify(value)) changes[path] = next;
  }
  return changes;
}

const isSize = (path: string) => path === 'vocab_size' || path.endsWith('.vocab_size');

/** Every value that is no object, by its path. */
function* leaves(config: Record<string, unknown>, prefix = '', depth = 0): Generator<[string, unknown]> {
  for (const [key, value] of Object.entries(config)) {
    if (!isObject(value)) yield [`${prefix}${key}`, value];
    else if (depth < DEPTH) yield* leaves(value, `${prefix}${key}.`, depth + 1);
  }
}
