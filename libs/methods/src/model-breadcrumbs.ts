import { Type } from '@amalgam/contracts';
import { BREADCRUMBS_SOURCE, gamma } from './breadcrumbs-band.js';
import { addSum } from './combine.js';
import { defineMethod } from './definition.js';
import { lambda, weight, weightsOf } from './parameters.js';

export const modelBreadcrumbs = defineMethod({
  name: 'model_breadcrumbs',
  summary: 'Model Breadcrumbs as its authors’ code has it: row by row, outliers first',
  formula:
    'τᵢ = θᵢ − θ₀;  of each row of w entries the floor(gamma · w) of largest |τᵢ| become 0, of the others the floor(density · w) largest ' +
    'stay, the rest becomes 0;  θ = θ₀ + λ Σ wᵢ τᵢ',
  source: `${BREADCRUMBS_SOURCE}; the authors’ code`,
  notes: [
    'A row is the entries that differ in the last index only, of a vector all. The paper speaks of layers; breadcrumbs has their shares by tensor, by row or by model, with at least one entry kept.',
    'Both counts are rounded down by themselves, so of rows shorter than 1 ÷ density nothing stays, and of rows shorter than 1 ÷ gamma no outlier is dropped.',
    'A tensor of one entry stays as it is; the authors’ code does so with scalars.',
    'Among equal magnitudes those of lowest index count as larger; the authors’ code leaves that to its sorting.',
    'density 0.15, gamma 0.006 and λ 0.2 are where the search of the authors’ code starts; its density is called beta there.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object({ lambda: lambda(0.2) }, { additionalProperties: false }),
  modelParameters: Type.Object(
    {
      weight: weight(1),
      density: Type.Number({
        default: 0.15,
        minimum: 0,
        maximum: 1,
        description: 'Share of each row that is kept, in [0, 1]',
      }),
      gamma: gamma(0.006),
    },
    { additionalProperties: false },
  ),
  inputs: 'task_vectors',
  sparsify: ({ models }) => ({
    by: 'magnitude',
    scope: 'row',
    densities: models.map(({ density }) => density),
    outliers: models.map((model) => model.gamma),
    outliersFirst: true,
  }),
  combine: (block, { global, models }) => addSum(block, weightsOf(models), global.lambda, false),
});
