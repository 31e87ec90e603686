import { llama } from './decoders.js';
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

/** Encoders, encoders with decoders, and models of images. */

const HEADS = 4;
const IMAGE = 16;
const PATCH = 8;
const PATCHES = (IMAGE / PATCH) ** 2;
/** Of vision parts in models of two. */
export const VISION_LAYERS = 3;

export function bert({ layers = 4, vocabulary = 40 }: Sizes = {}): TinyModel {
  return {
    shapes: {
      ...under(
        'bert.embeddings',
        {
          'word_embeddings.weight': [vocabulary, HIDDEN],
          'position_embeddings.weight': [POSITIONS, HIDDEN],
          'token_type_embeddings.weight': [2, HIDDEN],
        },
        norm('LayerNorm'),
      ),
      ...blocks('bert.encoder.layer', layers, () => ({
        ...under('attention.self', ...['query', 'key', 'value'].map((name) => linear(name, HIDDEN, HIDDEN))),
        ...under('attention.output', linear('dense', HIDDEN, HIDDEN), norm('LayerNorm')),
        ...linear('intermediate.dense', INNER, HIDDEN),
        ...under('output', linear('dense', HIDDEN, INNER), norm('LayerNorm')),
      })),
      ...under(
        'cls.predictions',
        { bias: [vocabulary] },
        linear('transform.dense', HIDDEN, HIDDEN),
        norm('transform.LayerNorm'),
      ),
    },
    config: {
      architectures: ['BertForMaskedLM'],
      model_type: 'bert',
      hidden_size: HIDDEN,
      intermediate_size: INNER,
      max_position_embeddings: POSITIONS,
      num_attention_heads: HEADS,
      num_hidden_layers: layers,
      pad_token_id: 0,
      type_vocab_size: 2,
      vocab_size: vocabulary,
    },
  };
}

/** Block 0 of either stack keeps the position biases of all its blocks. */
export function t5({ layers = 4, vocabulary = 40 }: Sizes = {}): TinyModel {
  const decoderLayers = 3;
  const attention = (name: string) =>
    under(name, ...['q', 'k', 'v', 'o'].map((part) => linear(part, HIDDEN, HIDDEN, false)));
  const feedForward = under('DenseReluDense', linear('wi', INNER, HIDDEN, false), linear('wo', HIDDEN, INNER, false));
  const layer = (prefix: string, part: Shapes) => under(prefix, part, norm('layer_norm', false));
  const bias = (index: number): Shapes =>
    index === 0 ? { 'layer.0.SelfAttention.relative_attention_bias.weight': [32, HEADS] } : {};
  return {
    shapes: {
      'shared.weight': [vocabulary, HIDDEN],
      ...blocks('encoder.block', layers, (i) => ({
        ...layer('layer.0', attention('SelfAttention')),
        ...bias(i),
        ...layer('layer.1', feedForward),
      })),
      ...norm('encoder.final_layer_norm', false),
      ...blocks('decoder.block', decoderLayers, (i) => ({
        ...layer('layer.0', attention('SelfAttention')),
        ...bias(i),
        ...layer('layer.1', attention('EncDecAttention')),
        ...layer('layer.2', feedForward),
      })),
      ...norm('decoder.final_layer_norm', false),
    },
    config: {
      architectures: ['T5ForConditionalGeneration'],
      model_type: 't5',
      d_ff: INNER,
      d_kv: HIDDEN / HEADS,
      d_model: HIDDEN,
      num_heads: HEADS,
      num_layers: layers,
      num_decoder_layers: decoderLayers,
      is_encoder_decoder: true,
      decoder_start_token_id: 0,
      vocab_size: vocabulary,
    },
  };
}

function clipLayer(): Shapes {
  return {
    ...norm('layer_norm1'),
    ...under('self_attn', ...['q_proj', 'k_proj', 'v_proj', 'out_proj'].map((name) => linear(name, HIDDEN, HIDDEN))),
    ...norm('layer_norm2'),
    ...under('mlp', linear('fc1', INNER, HIDDEN), linear('fc2', HIDDEN, INNER)),
  };
}

function clipVision(): Shapes {
  return {
    'embeddings.class_embedding': [HIDDEN],
    'embeddings.patch_embedding.weight': [HIDDEN, 3, PATCH, PATCH],
    'embeddings.position_embedding.weight': [PATCHES + 1, HIDDEN],
    ...norm('pre_layrnorm'),
    ...blocks('encoder.layers', VISION_LAYERS, clipLayer),
    ...norm('post_layernorm'),
  };
}

const CLIP_VISION_CONFIG = {
  model_type: 'clip_vision_model',
  hidden_size: HIDDEN,
  image_size: IMAGE,
  intermediate_size: INNER,
  num_attention_heads: HEADS,
  num_hidden_layers: VISION_LAYERS,
  patch_size: PATCH,
  projection_dim: 8,
};

export function clip({ layers = 4, vocabulary = 40 }: Sizes = {}): TinyModel {
  return {
    shapes: {
      logit_scale: [],
      ...under(
        'text_model',
        {
          'embeddings.token_embedding.weight': [vocabulary, HIDDEN],
          'embeddings.position_embedding.weight': [POSITIONS, HIDDEN],
        },
        blocks('encoder.layers', layers, clipLayer),
        norm('final_layer_norm'),
      ),
      ...linear('text_projection', 8, HIDDEN, false),
      ...under('vision_model', clipVision()),
      ...linear('visual_projection', 8, HIDDEN, false),
    },
    config: {
      architectures: ['CLIPModel'],
      model_type: 'clip',
      projection_dim: 8,
      text_config: {
        model_type: 'clip_text_model',
        hidden_size: HIDDEN,
        intermediate_size: INNER,
        max_position_embeddings: POSITIONS,
        num_attention_heads: HEADS,
        num_hidden_layers: layers,
        projection_dim: 8,
        bos_token_id: 1,
        eos_token_id: 2,
        vocab_size: vocabulary,
      },
      vision_config: CLIP_VISION_CONFIG,
    },
  };
}

export function vit({ layers = 4 }: Sizes = {}): TinyModel {
  return {
    shapes: {
      ...under('vit.embeddings', {
        cls_token: [1, 1, HIDDEN],
        position_embeddings: [1, PATCHES + 1, HIDDEN],
        'patch_embeddings.projection.weight': [HIDDEN, 3, PATCH, PATCH],
        'patch_embeddings.projection.bias': [HIDDEN],
      }),
      ...blocks('vit.encoder.layer', layers, () => ({
        ...under('attention.attention', ...['query', 'key', 'value'].map((name) => linear(name, HIDDEN, HIDDEN))),
        ...linear('attention.output.dense', HIDDEN, HIDDEN),
        ...linear('intermediate.dense', INNER, HIDDEN),
        ...linear('output.dense', HIDDEN, INNER),
        ...norm('layernorm_before'),
        ...norm('layernorm_after'),
      })),
      ...norm('vit.layernorm'),
      ...linear('classifier', 2, HIDDEN),
    },
    config: {
      architectures: ['ViTForImageClassification'],
      model_type: 'vit',
      hidden_size: HIDDEN,
      image_size: IMAGE,
      intermediate_size: INNER,
      num_attention_heads: HEADS,
      num_channels: 3,
      num_hidden_layers: layers,
      patch_size: PATCH,
    },
  };
}

/** A language model that sees through a CLIP: the layout of the Llava checkpoints on the hub. */
export function llava(sizes: Sizes = {}): TinyModel {
  const text = llama(sizes);
  return {
    shapes: {
      ...under('language_model', text.shapes),
      ...under('multi_modal_projector', linear('linear_1', HIDDEN, HIDDEN), linear('linear_2', HIDDEN, HIDDEN)),
      ...under('vision_tower.vision_model', clipVision()),
    },
    config: {
      architectures: ['LlavaForConditionalGeneration'],
      model_type: 'llava',
      image_token_index: 3,
      tie_word_embeddings: false,
      text_config: text.config,
      vision_config: CLIP_VISION_CONFIG,
      vision_feature_layer: -2,
    },
  };
}
