import { Type } from '@amalgam/contracts';
import { addElected } from './combine.js';
import { DARE_NOTES, DARE_SOURCE, toChance } from './dare.js';
import { defineMethod } from './definition.js';
import { chance, consensus, ELECTION_NOTES, lambda, normalize, rescale, seed, weight } from './parameters.js';
import { rescaleBy, rescalesByChoice } from './rescale.js';

export const dareTies = defineMethod({
  name: 'dare_ties',
  summary: 'TIES’ sign election over task vectors of which a random share is kept',
  formula:
    'τᵢ = mᵢ ⊙ (θᵢ − θ₀), ÷ density with rescale;  mᵢ = 1 with probability density, else 0, independently for each entry;  ' +
    'xᵢ = wᵢ τᵢ;  γ = + where Σ xᵢ ≥ 0, else −;  A = { i : xᵢ ≠ 0 with sign γ };  τ = Σ_A xᵢ  (÷ Σ_A |wᵢ| with normalize);  θ = θ₀ + λ τ',
  source: DARE_SOURCE,
  notes: [
    ...DARE_NOTES,
    ...ELECTION_NOTES,
    'density 0.5 and λ 0.5 are FusionBench’s. mergekit’s defaults, density 1 and λ 1, drop nothing.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      lambda: lambda(0.5),
      normalize: normalize(false),
      rescale: rescale('density'),
      rescale_by: rescaleBy(),
      consensus: consensus(),
      seed: seed(),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({ weight: weight(1), density: chance(0.5) }, { additionalProperties: false }),
  inputs: 'task_vectors',
  sparsify: toChance,
  ...rescalesByChoice,
  electsSigns: () => true,
  combine: (block, { global }) => addElected(block, global.consensus, global.lambda, global.normalize),
});
