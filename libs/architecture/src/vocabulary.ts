import type { CheckpointTensor, JsonObject } from '@amalgam/tensors';
import { isObject } from './layer-counts.js';

/** A tensor with one row, or one element, for each token of the vocabulary: dimension 0. */
export interface VocabularyTensor {
  name: string;
  role: 'embedding' | 'head' | 'head_bias';
  rows: number;
}

const EMBEDDING =
  /(^|[._])(embed_tokens|wte|word_embeddings?|tok_embeddings|token_embedding|embed_in|shared|embedding?s?|emb)\.weight$/;
const HEAD =
  /(^|\.)(lm_head|embed_out|proj_out|output|output_layer|head|predictions\.decoder|mlm_head\.decoder|decoder)\.weight$/;
/** What embeds something else than tokens, whatever its number of rows. */
const OTHER_EMBEDDING = /(position|pos_emb|wpe|token_type|segment|relative|rotary|patch|class_emb|time)/i;
const HEAD_BIAS =
  /(^|\.)(lm_head|embed_out|proj_out|output_layer|predictions|predictions\.decoder|mlm_head\.decoder|decoder)\.bias$/;

/**
 * Tensors outside of the stacks whose first dimension is the vocabulary: by config.json's vocab_size (anywhere in it) and their
 * names; where the config says nothing, a token embedding by its name, and what has as many rows and the name of a head.
 */
export function findVocabulary(tensors: Iterable<CheckpointTensor>, config: JsonObject | null): VocabularyTensor[] {
  const outside = [...tensors];
  const sizes = vocabularySizes(config);
  const hidden = new Set(numbersAt(config, /^(hidden_size|d_model|n_embd|dim|projection_dim|intermediate_size)$/));
  const embeddings = outside.filter(
    ({ name, shape }) => shape.length === 2 && EMBEDDING.test(name) && !OTHER_EMBEDDING.test(name),
  );
  // Padded for the hardware, an embedding has more rows than config.json says tokens.
  const rowsOf = new Set([...sizes, ...embeddings.map(({ shape }) => shape[0] ?? 0)]);
  const found: VocabularyTensor[] = [];
  for (const { name, shape } of outside) {
    const [rows = 0, ...others] = shape;
    if (!rowsOf.has(rows) || others.length > 1 || OTHER_EMBEDDING.test(name)) continue;
    if (others.length === 0) {
      if (HEAD_BIAS.test(name)) found.push({ name, role: 'head_bias', rows });
    } else if (EMBEDDING.test(name)) {
      found.push({ name, role: 'embedding', rows });
    } else if (HEAD.test(name) || (sizes.has(rows) && !hidden.has(rows) && rows > 2 * (others[0] ?? 0))) {
      // A matrix of that height with a name of its own: nothing that comes before layers but an embedding, so a head.
      found.push({ name, role: 'head', rows });
    }
  }
  return found;
}

function vocabularySizes(config: JsonObject | null): Set<number> {
  return new Set(numbersAt(config, /^(vocab_size|padded_vocab_size|n_vocab)$/).filter((size) => size > 1));
}

/** Integers under keys that match, anywhere in the config's objects. */
function numbersAt(config: JsonObject | null, key: RegExp): number[] {
  if (config === null) return [];
  return Object.entries(config).flatMap(([name, value]) => {
    if (isObject(value)) return numbersAt(value, key);
    return key.test(name) && Number.isInteger(value) ? [Number(value)] : [];
  });
}

/** What config.json says of heads that share the embedding's weight; null: nothing. */
export function tiedByConfig(config: JsonObject | null): boolean | null {
  if (config === null) return null;
  const own = config['tie_word_embeddings'];
  if (typeof own === 'boolean') return own;
  for (const [key, value] of Object.entries(config)) {
    if (isObject(value) && /text|llm|language|decoder/.test(key)) {
      const inner = value['tie_word_embeddings'];
      if (typeof inner === 'boolean') return inner;
    }
  }
  return null;
}
