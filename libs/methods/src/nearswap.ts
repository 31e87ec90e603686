import { Type } from '@amalgam/contracts';
import { defineMethod } from './definition.js';

/** Smaller differences count as this large. */
const SMALLEST = 1e-6;

export const nearswap = defineMethod({
  name: 'nearswap',
  summary: 'Takes over from a model what is close to the base, and ever less of what is further away',
  formula: 'τ = θ₁ − θ₀;  s = min(1, t ÷ max(|τ|, 1e-6));  θ = θ₀ + s τ, entry by entry',
  source: 'mergekit',
  notes: ['mergekit interpolates s θ₁ + (1 − s) θ₀, which rounds differently in the last digit.'],
  base: 'required',
  models: { minimum: 1, maximum: 1 },
  parameters: Type.Object(
    {
      t: Type.Number({
        default: 0.001,
        minimum: 0,
        maximum: 3.4028234663852886e38,
        description:
          'Largest difference that is taken over whole; of larger ones this much is. mergekit has no default',
      }),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({}, { additionalProperties: false }),
  inputs: 'task_vectors',
  combine({ kernels, models, base, out, n }, { global }) {
    kernels.ops.limitMagnitude(models, global.t, SMALLEST, n);
    kernels.ops.addScaled(base!, models, 1, out, n);
    return 0;
  },
});
