import { Type } from '@amalgam/contracts';
import { BREADCRUMBS_NOTES, BREADCRUMBS_SOURCE, breadcrumbsScope, gamma, toBand } from './breadcrumbs-band.js';
import { addElected } from './combine.js';
import { defineMethod } from './definition.js';
import { consensus, density, ELECTION_NOTES, lambda, normalize, weight } from './parameters.js';
import { rescalesToSum, rescaleToSum } from './rescale.js';

export const breadcrumbsTies = defineMethod({
  name: 'breadcrumbs_ties',
  summary: 'TIES’ sign election over task vectors without their largest and their smallest entries',
  formula:
    'τᵢ = θᵢ − θ₀;  of d entries the floor(gamma · d) of largest |τᵢ| become 0, of the others the floor(density · d) largest stay, ' +
    'the rest becomes 0;  xᵢ = wᵢ τᵢ;  γ = + where Σ xᵢ ≥ 0, else −;  A = { i : xᵢ ≠ 0 with sign γ };  τ = Σ_A xᵢ  (÷ Σ_A |wᵢ| with ' +
    'normalize);  θ = θ₀ + λ τ',
  source: `${BREADCRUMBS_SOURCE}; with the sign election of Yadav et al., TIES-Merging, NeurIPS 2023, as mergekit joins the two`,
  notes: [
    ...BREADCRUMBS_NOTES,
    ...ELECTION_NOTES,
    'density and gamma as in breadcrumbs, λ 1. mergekit’s defaults are density 1, which drops nothing, and gamma 0.01.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      lambda: lambda(1),
      scope: breadcrumbsScope(),
      normalize: normalize(false),
      rescale: rescaleToSum(),
      consensus: consensus(),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object(
    { weight: weight(1), density: density(0.15), gamma: gamma(0.006) },
    { additionalProperties: false },
  ),
  inputs: 'task_vectors',
  uniform: ({ global }) => (global.scope === 'model' ? ['density', 'gamma'] : []),
  sparsify: toBand,
  ...rescalesToSum,
  electsSigns: () => true,
  combine: (block, { global }) => addElected(block, global.consensus, global.lambda, global.normalize),
});
