import { Type } from '@amalgam/contracts';
import { addElected } from './combine.js';
import { defineMethod } from './definition.js';
import { density, lambda, weight } from './parameters.js';
import { RESCALE_NOTE, rescalesToSum, rescaleToSum } from './rescale.js';

export const ties = defineMethod({
  name: 'ties',
  summary: 'Trim each task vector, elect a sign for every entry, merge what agrees with it',
  formula:
    'τᵢ = θᵢ − θ₀, trimmed to the density share of largest |τᵢ|;  xᵢ = wᵢ τᵢ;  s = Σ xᵢ;  γ = + where s ≥ 0, else −;  ' +
    'A = { i : xᵢ ≠ 0 with sign γ };  τ = Σ_A xᵢ  (mean: ÷ Σ_A |wᵢ|);  θ = θ₀ + λ τ',
  source: 'Yadav et al., TIES-Merging: Resolving Interference When Merging Models, NeurIPS 2023, section 3',
  notes: [
    'Exactly max(1, floor(density · d)) entries of each task vector are kept. The authors’ code keeps one more and every entry equal to the threshold; here, among equals, those of lowest index are kept, so that the kept share is what was asked for.',
    'Where surviving entries cancel to exactly 0 the elected sign is +, as in mergekit; the authors’ code takes the sign that most entries of the whole model elected, which makes each entry depend on all others.',
    'scope model (default): one threshold for a whole model, as in the paper; tensor: one for each tensor, as in mergekit.',
    'combine mean with unit weights is the paper’s disjoint mean; sum is what AdaMerging and FusionBench use (with λ about 0.3).',
    'mean divides by the sum of |wᵢ|, so a negative weight subtracts; in mergekit it turns the sign back.',
    RESCALE_NOTE,
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      lambda: lambda(1),
      scope: Type.Enum(['model', 'tensor'], { default: 'model', description: 'What shares one trim threshold' }),
      combine: Type.Enum(['mean', 'sum'], { default: 'mean', description: 'How agreeing entries are combined' }),
      rescale: rescaleToSum(),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({ weight: weight(1), density: density(0.2) }, { additionalProperties: false }),
  inputs: 'task_vectors',
  uniform: ({ global }) => (global.scope === 'model' ? ['density'] : []),
  sparsify: ({ global, models }) => ({
    by: 'magnitude',
    scope: global.scope,
    densities: models.map((model) => model.density),
    outliers: models.map(() => 0),
  }),
  ...rescalesToSum,
  electsSigns: () => true,
  combine: (block, { global }) => addElected(block, 'sum', global.lambda, global.combine === 'mean'),
});
