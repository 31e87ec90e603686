import { Type } from '@amalgam/contracts';
import { addElected } from './combine.js';
import { defineMethod } from './definition.js';
import { checkRange, DELLA_NOTES, DELLA_SOURCE, epsilon, toRankedChance } from './magprune.js';
import { chance, consensus, ELECTION_NOTES, lambda, normalize, rescale, seed, weight } from './parameters.js';
import { rescaleBy, rescalesByChoice } from './rescale.js';

export const della = defineMethod({
  name: 'della',
  summary: 'TIES’ sign election over task vectors whose entries are kept at random, large ones more often',
  formula:
    'pᵢ = density − ε + 2ε r, r = rank of |τᵢ| in its row, 0 (smallest) to 1 (largest);  τᵢ = mᵢ ⊙ (θᵢ − θ₀), ÷ pᵢ with rescale;  mᵢ = 1 with ' +
    'probability pᵢ, else 0;  xᵢ = wᵢ τᵢ;  γ = + where Σ xᵢ ≥ 0, else −;  A = { i : xᵢ ≠ 0 with sign γ };  τ = Σ_A xᵢ  (÷ Σ_A |wᵢ| with ' +
    'normalize);  θ = θ₀ + λ τ',
  source: DELLA_SOURCE,
  notes: [
    ...DELLA_NOTES,
    ...ELECTION_NOTES,
    'density 0.7, epsilon 0.07 (a window of 0.14) and λ 1.1 are the example of the authors’ code; mergekit’s defaults are density 1, which drops nothing, epsilon 0.15 and λ 1.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      lambda: lambda(1.1),
      normalize: normalize(true),
      rescale: rescale('probability of being kept'),
      rescale_by: rescaleBy(),
      consensus: consensus(),
      seed: seed(),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object(
    { weight: weight(1), density: chance(0.7), epsilon: epsilon(0.07) },
    { additionalProperties: false },
  ),
  inputs: 'task_vectors',
  check: ({ models }) => checkRange(models),
  sparsify: toRankedChance,
  ...rescalesByChoice,
  electsSigns: () => true,
  combine: (block, { global }) => addElected(block, global.consensus, global.lambda, global.normalize),
});
