import {
  blocks,
  HIDDEN,
  INNER,
  linear,
  norm,
  POSITIONS,
  type Shapes,
  type Sizes,
  type TinyModel,
  under,
} from './shapes.js';

/** Language models of the Llama kind and its relatives. */

const HEADS = 4;
const KV_HEADS = 2;
const HEAD_DIM = 4;

interface Variant {
  architecture: string;
  type: string;
  tied: boolean;
  qkvBias?: boolean;
  qkNorm?: boolean;
  sandwich?: boolean;
  feedForward?: () => Shapes;
  config?: (layers: number) => Record<string, unknown>;
}

/** Attention and gated feed-forward with RMS norms, rotary positions and grouped keys. */
function llamaLike(variant: Variant, { layers = 4, vocabulary = 40, tied = variant.tied }: Sizes): TinyModel {
  return {
    shapes: {
      'model.embed_tokens.weight': [vocabulary, HIDDEN],
      ...blocks('model.layers', layers, () => llamaBlock(variant)),
      ...norm('model.norm', false),
      ...(tied ? {} : { 'lm_head.weight': [vocabulary, HIDDEN] }),
    },
    config: {
      architectures: [variant.architecture],
      model_type: variant.type,
      ...llamaSizes(layers, vocabulary, tied),
      ...variant.config?.(layers),
    },
  };
}

function llamaSizes(layers: number, vocabulary: number, tied: boolean): Record<string, unknown> {
  return {
    hidden_size: HIDDEN,
    intermediate_size: INNER,
    num_hidden_layers: layers,
    num_attention_heads: HEADS,
    num_key_value_heads: KV_HEADS,
    max_position_embeddings: POSITIONS,
    rms_norm_eps: 1e-6,
    bos_token_id: 1,
    eos_token_id: 2,
    tie_word_embeddings: tied,
    torch_dtype: 'float32',
    vocab_size: vocabulary,
  };
}

function llamaBlock({ qkvBias = false, qkNorm = false, sandwich = false, feedForward }: Partial<Variant>): Shapes {
  const gated = under(
    'mlp',
    linear('gate_proj', INNER, HIDDEN, false),
    linear('up_proj', INNER, HIDDEN, false),
    linear('down_proj', HIDDEN, INNER, false),
  );
  return {
    ...norm('input_layernorm', false),
    ...norm('post_attention_layernorm', false),
    ...(sandwich ? { ...norm('pre_feedforward_layernorm', false), ...norm('post_feedforward_layernorm', false) } : {}),
    ...under(
      'self_attn',
      linear('q_proj', HEADS * HEAD_DIM, HIDDEN, qkvBias),
      linear('k_proj', KV_HEADS * HEAD_DIM, HIDDEN, qkvBias),
      linear('v_proj', KV_HEADS * HEAD_DIM, HIDDEN, qkvBias),
      linear('o_proj', HIDDEN, HEADS * HEAD_DIM, false),
      qkNorm ? { ...norm('q_norm', false, HEAD_DIM), ...norm('k_norm', false, HEAD_DIM) } : {},
    ),
    ...(feedForward?.() ?? gated),
  };
}

export const llama = (sizes: Sizes = {}) =>
  llamaLike({ architecture: 'LlamaForCausalLM', type: 'llama', tied: false, config: () => ({ head_dim: 4 }) }, sizes);

export const mistral = (sizes: Sizes = {}) =>
  llamaLike(
    {
      architecture: 'MistralForCausalLM',
      type: 'mistral',
      tied: false,
      config: () => ({ head_dim: 4, sliding_window: null }),
    },
    sizes,
  );

export const qwen2 = (sizes: Sizes = {}) =>
  llamaLike(
    {
      architecture: 'Qwen2ForCausalLM',
      type: 'qwen2',
      tied: false,
      qkvBias: true,
      config: (layers) => ({ max_window_layers: layers, use_sliding_window: false, sliding_window: null }),
    },
    sizes,
  );

export const qwen3 = (sizes: Sizes = {}) =>
  llamaLike(
    {
      architecture: 'Qwen3ForCausalLM',
      type: 'qwen3',
      tied: true,
      qkNorm: true,
      config: (layers) => ({
        head_dim: 4,
        max_window_layers: layers,
        layer_types: Array.from({ length: layers }, () => 'full_attention'),
      }),
    },
    sizes,
  );

export const gemma = (sizes: Sizes = {}) =>
  llamaLike({ architecture: 'GemmaForCausalLM', type: 'gemma', tied: true, config: () => ({ head_dim: 4 }) }, sizes);

/** Every third layer attends to everything, the others to a window. */
export const gemma3 = (sizes: Sizes = {}) =>
  llamaLike(
    {
      architecture: 'Gemma3ForCausalLM',
      type: 'gemma3_text',
      tied: true,
      qkNorm: true,
      sandwich: true,
      config: (layers) => ({
        head_dim: 4,
        sliding_window: 8,
        layer_types: Array.from({ length: layers }, (_, i) => (i % 3 === 2 ? 'full_attention' : 'sliding_attention')),
      }),
    },
    sizes,
  );

const EXPERTS = 3;
export const mixtral = (sizes: Sizes = {}) =>
  llamaLike(
    {
      architecture: 'MixtralForCausalLM',
      type: 'mixtral',
      tied: false,
      feedForward: () =>
        under('block_sparse_moe', linear('gate', EXPERTS, HIDDEN, false), blocks('experts', EXPERTS, expert)),
      config: () => ({ num_local_experts: EXPERTS, num_experts_per_tok: 2 }),
    },
    sizes,
  );

const expert = () => ({
  ...linear('w1', INNER, HIDDEN, false),
  ...linear('w2', HIDDEN, INNER, false),
  ...linear('w3', INNER, HIDDEN, false),
});

export function phi({ layers = 4, vocabulary = 40 }: Sizes = {}): TinyModel {
  return {
    shapes: {
      'model.embed_tokens.weight': [vocabulary, HIDDEN],
      ...blocks('model.layers', layers, () => ({
        ...norm('input_layernorm'),
        ...under('self_attn', ...['q_proj', 'k_proj', 'v_proj', 'dense'].map((name) => linear(name, HIDDEN, HIDDEN))),
        ...under('mlp', linear('fc1', INNER, HIDDEN), linear('fc2', HIDDEN, INNER)),
      })),
      ...norm('model.final_layernorm'),
      ...linear('lm_head', vocabulary, HIDDEN),
    },
    config: {
      architectures: ['PhiForCausalLM'],
      model_type: 'phi',
      ...llamaSizes(layers, vocabulary, false),
      num_key_value_heads: HEADS,
      partial_rotary_factor: 0.5,
    },
  };
}

/** Linear layers are stored [in, out]; the head is the embedding, and config.json does not say so. */
export function gpt2({ layers = 4, vocabulary = 40 }: Sizes = {}): TinyModel {
  const conv = (name: string, into: number, out: number): Shapes => ({
    [`${name}.weight`]: [into, out],
    [`${name}.bias`]: [out],
  });
  return {
    shapes: under(
      'transformer',
      { 'wte.weight': [vocabulary, HIDDEN], 'wpe.weight': [POSITIONS, HIDDEN] },
      blocks('h', layers, () => ({
        ...norm('ln_1'),
        ...conv('attn.c_attn', HIDDEN, 3 * HIDDEN),
        ...conv('attn.c_proj', HIDDEN, HIDDEN),
        ...norm('ln_2'),
        ...conv('mlp.c_fc', HIDDEN, INNER),
        ...conv('mlp.c_proj', INNER, HIDDEN),
      })),
      norm('ln_f'),
    ),
    config: {
      architectures: ['GPT2LMHeadModel'],
      model_type: 'gpt2',
      n_embd: HIDDEN,
      n_head: HEADS,
      n_inner: INNER,
      n_layer: layers,
      n_positions: POSITIONS,
      bos_token_id: 1,
      eos_token_id: 1,
      vocab_size: vocabulary,
    },
  };
}
