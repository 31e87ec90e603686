import { Type } from '@amalgam/contracts';
import { addSum } from './combine.js';
import { DARE_NOTES, DARE_SOURCE, toChance } from './dare.js';
import { defineMethod } from './definition.js';
import { chance, lambda, normalize, rescale, seed, weight, weightsOf, weightsSumToZero } from './parameters.js';
import { rescaleBy, rescalesByChoice } from './rescale.js';

export const dareLinear = defineMethod({
  name: 'dare_linear',
  summary: 'Task arithmetic over task vectors of which a random share is kept',
  formula:
    'τᵢ = mᵢ ⊙ (θᵢ − θ₀), ÷ density with rescale;  mᵢ = 1 with probability density, else 0, independently for each entry;  ' +
    'θ = θ₀ + λ Σ wᵢ τᵢ  (the sum ÷ Σ wᵢ with normalize)',
  source: DARE_SOURCE,
  notes: [
    ...DARE_NOTES,
    'density 0.5 and λ 0.3 are FusionBench’s; the paper drops up to 0.9 of the task vectors of language models. mergekit’s defaults, density 1 and λ 1, drop nothing.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      lambda: lambda(0.3),
      normalize: normalize(false),
      rescale: rescale('density'),
      rescale_by: rescaleBy(),
      seed: seed(),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({ weight: weight(1), density: chance(0.5) }, { additionalProperties: false }),
  inputs: 'task_vectors',
  check: ({ global, models }) => weightsSumToZero(global.normalize, models),
  sparsify: toChance,
  ...rescalesByChoice,
  combine: (block, { global, models }) => addSum(block, weightsOf(models), global.lambda, global.normalize),
});
