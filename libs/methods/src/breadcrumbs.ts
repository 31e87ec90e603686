import { Type } from '@amalgam/contracts';
import { BREADCRUMBS_NOTES, BREADCRUMBS_SOURCE, breadcrumbsScope, gamma, toBand } from './breadcrumbs-band.js';
import { addSum } from './combine.js';
import { defineMethod } from './definition.js';
import { density, lambda, normalize, weight, weightsOf, weightsSumToZero } from './parameters.js';
import { rescalesToSum, rescaleToSum } from './rescale.js';

export const breadcrumbs = defineMethod({
  name: 'breadcrumbs',
  summary: 'Task arithmetic over task vectors without their largest and their smallest entries',
  formula:
    'τᵢ = θᵢ − θ₀;  of d entries the floor(gamma · d) of largest |τᵢ| become 0, of the others the floor(density · d) largest stay, ' +
    'the rest becomes 0;  θ = θ₀ + λ Σ wᵢ τᵢ  (the sum ÷ Σ wᵢ with normalize)',
  source: BREADCRUMBS_SOURCE,
  notes: [
    ...BREADCRUMBS_NOTES,
    'density 0.15, gamma 0.006 and λ 0.2 are where the search of the authors’ code starts. mergekit’s defaults are density 1, which drops nothing, gamma 0.01 and λ 1.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    { lambda: lambda(0.2), scope: breadcrumbsScope(), normalize: normalize(false), rescale: rescaleToSum() },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object(
    { weight: weight(1), density: density(0.15), gamma: gamma(0.006) },
    { additionalProperties: false },
  ),
  inputs: 'task_vectors',
  uniform: ({ global }) => (global.scope === 'model' ? ['density', 'gamma'] : []),
  check: ({ global, models }) => weightsSumToZero(global.normalize, models),
  sparsify: toBand,
  ...rescalesToSum,
  combine: (block, { global, models }) => addSum(block, weightsOf(models), global.lambda, global.normalize),
});
