import { Type } from '@amalgam/contracts';
import { givenNoBlocks } from './adapter-settings.js';
import { defineMethod } from './definition.js';
import { FLOAT32, weightsOf, weightsSumToZero } from './parameters.js';

export const mergeLora = defineMethod({
  name: 'merge_lora',
  summary: 'One LoRA adapter from several',
  formula: 'B A = λ Σ wᵢ sᵢ Bᵢ Aᵢ  (÷ Σ wᵢ with normalize), sᵢ: alpha ÷ rank of adapter i',
  source: 'sums of products as PEFT’s combinations cat and svd; Hu et al., LoRA, ICLR 2022',
  notes: [
    'All models are LoRA adapters (PEFT), there is no base, and the result is an adapter. With a base any other method merges adapters into a full model.',
    'Products are added up: the factors stand side by side, ranks add up, and nothing is lost. rank cuts each sum to the nearest product of that rank, by exact singular values.',
    'combine factors adds up A and B each for themselves, with the root of the coefficient on both sides, as PEFT’s combination linear does. The rank stays, but B₁ A₂ and B₂ A₁ come in as well: it is not the sum of what the adapters do.',
    'Methods that look at single entries (ties, dare, …) need the full task vectors: give a base, and extract a LoRA from the result with extract_lora.',
    'Factors are written in float32 unless out_dtype says otherwise.',
  ],
  base: 'none',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      combine: Type.Enum(['products', 'factors'], { default: 'products', description: 'What is added up' }),
      rank: Type.Union([Type.Integer({ minimum: 1 }), Type.Null()], {
        default: null,
        description: 'Cut the sums of products to this rank; null: ranks add up',
        uniform: true,
      }),
      lambda: Type.Number({ ...FLOAT32, default: 1, description: 'Factor of the sum', uniform: true }),
      normalize: Type.Boolean({ default: false, description: 'Divide by the sum of the weights', uniform: true }),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object(
    {
      weight: Type.Number({
        ...FLOAT32,
        default: 1,
        description: 'Factor of this adapter; may be negative',
        uniform: true,
      }),
    },
    { additionalProperties: false },
  ),
  inputs: 'weights',
  check({ global, models }) {
    const errors = weightsSumToZero(global.normalize, models);
    if (global.combine === 'factors' && global.rank !== null) {
      errors.push({ pointer: '/parameters/rank', detail: 'only sums of products can be cut to a rank' });
    }
    return errors;
  },
  adapter({ global, models }) {
    const weights = weightsOf(models);
    const divisor = global.normalize ? weights.reduce((sum, weight) => sum + weight, 0) : 1;
    const coefficients = weights.map((weight) => (global.lambda * weight) / divisor);
    return { kind: 'merge', coefficients, combine: global.combine, rank: global.rank };
  },
  combine: givenNoBlocks,
});
