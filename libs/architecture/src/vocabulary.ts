import type { CheckpointTensor, JsonObject } from '@amalgam/tensors';
import { isObject } from './layer-counts.js';

/** A tensor with one row, or one element, for each token of the vocabulary: dimension 0. */
export interface VocabularyTensor {
  name: string;
  role: 'embedding' | 'head' | 'head_bias';
  rows: number;
}

const EMBEDDING =
  /(^|[._])(embed_tokens(_per_layer)?|tokens_embed|wte|word_embeddings?|tok_embeddings|token_embedding|embed_in|shared|embeddings?|emb)\.weight$/;
const HEAD =
  /(^|\.)(lm_head|embed_out|proj_out|output|output_layer|head|predictions\.decoder|mlm_head\.decoder|decoder)\.weight$/;
const HEAD_BIAS =
  /(^|\.)(lm_head|embed_out|proj_out|output_layer|predictions|predictions\.decoder|mlm_head\.decoder|decoder)\.bias$/;
/** What embeds something else than tokens, whatever its number of rows. */
const OTHER_EMBEDDING =
  /(position|pos_emb|wpe|token_type|segment|relative|rotary|patch|class_emb|time|entity|vision|visual|image|audio|mel_)/i;
/** Rows that an embedding is padded to, for the hardware or for tokens to come, over those that config.json says. */
const MOST_PADDING = 2;
/** Janus has six. */
const MOST_FOUND = 64;

/**
 * Tensors outside of the stacks whose first dimension is the vocabulary: by config.json's vocab_size (anywhere in it) and their
 * names; where the config says nothing, a token embedding by its name, and what has as many rows and the name of a head.
 */
export function findVocabulary(tensors: Iterable<CheckpointTensor>, config: JsonObject | null): VocabularyTensor[] {
  const outside = [...tensors].filter(({ name }) => !OTHER_EMBEDDING.test(name));
  const sizes = vocabularySizes(config);
  const isVocabulary = (rows: number) =>
    sizes.length === 0 || sizes.some((size) => rows >= size && rows <= MOST_PADDING * size);
  const isEmbedding = ({ name, shape }: CheckpointTensor) =>
    shape.length === 2 && EMBEDDING.test(name) && isVocabulary(shape[0] ?? 0);
  const embeddings = outside.filter(isEmbedding);
  const rowsOf = new Set([...sizes, ...embeddings.map(({ shape }) => shape[0] ?? 0)]);
  const found: VocabularyTensor[] = [];
  for (const tensor of outside) {
    const { name, shape } = tensor;
    const [rows = 0, ...others] = shape;
    if (!rowsOf.has(rows) || found.length === MOST_FOUND) continue;
    if (isEmbedding(tensor)) {
      found.push({ name, role: 'embedding', rows });
    } else if (others.length === 0) {
      if (HEAD_BIAS.test(name)) found.push({ name, role: 'head_bias', rows });
    } else if (others.length === 1 && (HEAD.test(name) || (sizes.includes(rows) && rows > 2 * (others[0] ?? 0)))) {
      // A matrix of that height with a name of its own is an embedding by its name, or where there is no other.
      const isTable = !HEAD.test(name) && (/embed/i.test(name) || embeddings.length === 0);
      found.push({ name, role: isTable ? 'embedding' : 'head', rows });
    }
  }
  return found;
}

function vocabularySizes(config: JsonObject | null): number[] {
  return numbersAt(config, /^(vocab_size|padded_vocab_size|n_vocab)$/).filter((size) => size > 1);
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
