import { Type } from '@amalgam/contracts';
import { addBlend } from './combine.js';
import { defineMethod } from './definition.js';
import { clamp, norms, sphericalWeights } from './gram.js';
import { weight } from './parameters.js';

const TINY_NORM = 1e-7;
const TINY_WEIGHT = 1e-6;
/** Above what rounding of the inner products makes of directions that are exactly opposite. */
const TINY_SINE = 1e-6;

export const nuslerp = defineMethod({
  name: 'nuslerp',
  summary: 'Spherical interpolation between two models, or their task vectors, by weights',
  formula:
    't = w₂ ÷ (w₁ + w₂);  x = θ, or θ − θ₀ with a base;  φ = angle between x₁ and x₂, each a whole tensor as one vector;  ' +
    'x = (sin((1 − t)φ) x₁ + sin(tφ) x₂) ÷ sin φ;  where sin φ < 1e-6: x = (1 − t) x₁ + t x₂;  θ = x, or θ₀ + x',
  source: 'mergekit; interpolation as in Shoemake, SIGGRAPH 1985',
  notes: [
    'Where the weights sum to less than 1e-6 in magnitude t is 0.5, as in mergekit.',
    'Vectors that are aligned or opposite, sin φ < 1e-6, are interpolated on the straight line. mergekit’s bound is 1e-8, which its float32 never meets for opposite vectors.',
    'flatten false takes each row of a tensor (the last dimension) for a vector of its own, or with row_wise each column (the first dimension), as mergekit’s nuslerp_flatten and nuslerp_row_wise do, whose documentation says it the other way round. A vector is one row and one column; a scalar is a row of one.',
    'Norms and angle are formed in float64; a base enters the arithmetic, so task vectors are rotated, not models.',
  ],
  base: 'optional',
  models: { minimum: 2, maximum: 2 },
  parameters: Type.Object(
    {
      flatten: Type.Boolean({ default: true, uniform: true, description: 'Take a whole tensor for one vector' }),
      row_wise: Type.Boolean({
        default: false,
        uniform: true,
        description: 'Without flatten: take each column (first dimension) for a vector, not each row (last dimension)',
      }),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({ weight: weight(1) }, { additionalProperties: false }),
  inputs: 'by_base',
  blendScope: ({ global: { flatten, row_wise } }) => (flatten ? 'tensor' : row_wise ? 'column' : 'row'),
  blend(gram, { models }) {
    const [w0, w1] = models.map(({ weight }) => weight) as [number, number];
    const t = Math.abs(w0 + w1) < TINY_WEIGHT ? 0.5 : w1 / (w0 + w1);
    const [n0, n1] = norms(gram).map((norm) => Math.max(norm, TINY_NORM)) as [number, number];
    const theta = Math.acos(clamp(gram.dot(0, 1) / n0 / n1, -1, 1));
    return Math.abs(Math.sin(theta)) < TINY_SINE ? [1 - t, t] : sphericalWeights(theta, t);
  },
  combine: addBlend,
});
