import { Type } from '@amalgam/contracts';
import { addSum } from './combine.js';
import { defineMethod } from './definition.js';
import { checkRange, DELLA_NOTES, DELLA_SOURCE, epsilon, toRankedChance } from './magprune.js';
import { chance, lambda, normalize, rescale, seed, weight, weightsOf, weightsSumToZero } from './parameters.js';
import { rescaleBy, rescalesByChoice } from './rescale.js';

export const dellaLinear = defineMethod({
  name: 'della_linear',
  summary: 'Task arithmetic over task vectors whose entries are kept at random, large ones more often',
  formula:
    'pᵢ = density − ε + 2ε r, r = rank of |τᵢ| in its row, 0 (smallest) to 1 (largest);  τᵢ = mᵢ ⊙ (θᵢ − θ₀), ÷ pᵢ with rescale;  mᵢ = 1 with ' +
    'probability pᵢ, else 0;  θ = θ₀ + λ Σ wᵢ τᵢ  (the sum ÷ Σ wᵢ with normalize)',
  source: DELLA_SOURCE,
  notes: [
    ...DELLA_NOTES,
    'density 0.7 and epsilon 0.07 are the example of the authors’ code; λ 0.3 as in task_arithmetic, because this is a sum. mergekit’s defaults are density 1, which drops nothing, epsilon 0.15 and λ 1.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      lambda: lambda(0.3),
      normalize: normalize(false),
      rescale: rescale('probability of being kept'),
      rescale_by: rescaleBy(),
      seed: seed(),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object(
    { weight: weight(1), density: chance(0.7), epsilon: epsilon(0.07) },
    { additionalProperties: false },
  ),
  inputs: 'task_vectors',
  check: ({ global, models }) => [...checkRange(models), ...weightsSumToZero(global.normalize, models)],
  sparsify: toRankedChance,
  ...rescalesByChoice,
  combine: (block, { global, models }) => addSum(block, weightsOf(models), global.lambda, global.normalize),
});
