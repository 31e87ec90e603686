import { Type } from '@amalgam/contracts';
import { defineMethod } from './definition.js';
import { normalize, weight, weightsSumToZero } from './parameters.js';

export const linear = defineMethod({
  name: 'linear',
  summary: 'Weighted average of the models',
  formula: 'θ = Σ wᵢ θᵢ  (÷ Σ wᵢ with normalize)',
  source: 'Wortsman et al., Model soups, ICML 2022',
  notes: [
    'A base, where given, lends names, dtypes and side files; it is averaged only where it is among the models too.',
    'The sum is formed in float32 in the order of the models and divided once.',
  ],
  base: 'optional',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object({ normalize: normalize(true) }, { additionalProperties: false }),
  modelParameters: Type.Object({ weight: weight(1) }, { additionalProperties: false }),
  inputs: 'weights',
  check: ({ global, models }) => weightsSumToZero(global.normalize, models),
  combine(block, { global, models }) {
    const { ops } = block.kernels;
    const target = block.out;
    models.forEach(({ weight }, i) => {
      const source = block.models + i * block.stride;
      if (i === 0) ops.scale(source, weight, target, block.n);
      else ops.accumulate(source, weight, target, block.n);
    });
    if (global.normalize) ops.divide(target, sum(models), target, block.n);
    return 0;
  },
});

function sum(models: { weight: number }[]): number {
  return models.reduce((total, { weight }) => total + weight, 0);
}
