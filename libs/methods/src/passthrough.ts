import { Type } from '@amalgam/contracts';
import { defineMethod } from './definition.js';
import { FLOAT32 } from './parameters.js';

export const passthrough = defineMethod({
  name: 'passthrough',
  summary: 'One model as it is, or scaled; with slices, layers of several models one behind the other',
  formula: 'θ = s θ₁',
  source: 'mergekit',
  notes: [
    'Every tensor comes from one model. Which layers of which models stand where in the result is what the recipe’s slices say.',
    'scale 1 leaves every number as it is; mergekit’s scale has no default, which means the same.',
  ],
  base: 'optional',
  models: { minimum: 1, maximum: 1 },
  parameters: Type.Object({}, { additionalProperties: false }),
  modelParameters: Type.Object(
    { scale: Type.Number({ ...FLOAT32, default: 1, description: 'Factor of this model’s tensors' }) },
    { additionalProperties: false },
  ),
  inputs: 'weights',
  combine({ kernels, models: source, out, n }, { models }) {
    kernels.ops.scale(source, models[0]!.scale, out, n);
    return 0;
  },
});
