import { Type } from '@amalgam/contracts';
import { givenNoBlocks } from './adapter-settings.js';
import { defineMethod } from './definition.js';

export const extractLora = defineMethod({
  name: 'extract_lora',
  summary: 'A LoRA adapter from a full fine-tune',
  formula: 'B A ≈ θ₁ − θ₀, of the given rank and nearest in squares: B = U √S, A = √S Vᵀ',
  source: 'Halko, Martinsson, Tropp, Finding structure with randomness, SIAM Review 2011',
  notes: [
    'The result is an adapter in PEFT’s form. Tensors are the matrices of numbered layers, unless merge.include selects others; embeddings become PEFT’s adapters of embeddings.',
    'The singular vectors are found by a randomised search, with random signs that depend on the seed and the tensor’s name only. The report says what share of each task vector’s squared norm is kept.',
    'mergekit-extract-lora computes a full singular value decomposition on the GPU, and can choose ranks by a threshold.',
    'Factors are written in float32 unless out_dtype says otherwise.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: 1 },
  parameters: Type.Object(
    {
      rank: Type.Integer({ default: 32, minimum: 1, maximum: 65_536, description: 'Of each module', uniform: true }),
      save: Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), {
        default: [],
        maxItems: 1000,
        description: 'Globs on tensors that are taken along whole, as modules_to_save',
        uniform: true,
      }),
      power_iterations: Type.Integer({
        default: 2,
        minimum: 0,
        maximum: 20,
        description: 'More come closer to the best product, and take longer',
        uniform: true,
      }),
      oversampling: Type.Integer({
        default: 8,
        minimum: 0,
        maximum: 1024,
        description: 'Directions that are searched in besides the rank',
        uniform: true,
      }),
      seed: Type.Integer({
        default: 0,
        minimum: 0,
        maximum: 2 ** 32 - 1,
        description: 'Of the randomised search',
        uniform: true,
      }),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({}, { additionalProperties: false }),
  inputs: 'task_vectors',
  adapter: ({ global: { rank, save, seed, power_iterations: powerIterations, oversampling } }) => {
    return { kind: 'extract', rank, save, seed, powerIterations, oversampling };
  },
  combine: givenNoBlocks,
});
