import { Type } from '@amalgam/contracts';
import { addBlend } from './combine.js';
import { defineMethod } from './definition.js';
import { norms, sphericalWeights } from './gram.js';
import { FLOAT32 } from './parameters.js';

/** Below this norm a vector is taken as it is. */
const TINY = 1e-8;
/** Directions closer than this, or further apart than its negative, are interpolated on the straight line. */
const ALIGNED = 0.9995;

export const slerp = defineMethod({
  name: 'slerp',
  summary: 'Spherical interpolation between two models, tensor by tensor',
  formula:
    'c = cos of the angle φ between θ₁ and θ₂, each a whole tensor as one vector;  θ = (sin((1 − t)φ) θ₁ + sin(tφ) θ₂) ÷ sin φ;  ' +
    'where |c| > 0.9995: θ = (1 − t) θ₁ + t θ₂',
  source: 'Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985; on weights as mergekit does',
  notes: [
    'θ₁ is the first model, which in mergekit is the base, and θ₂ the second. A base, where given, lends names, dtypes and side files only.',
    'Norms and angle are formed in float64, in mergekit in float32.',
    'A tensor that is zero in one model counts as at a right angle to everything, as in mergekit.',
    't outside [0, 1] extrapolates.',
  ],
  base: 'optional',
  models: { minimum: 2, maximum: 2 },
  parameters: Type.Object(
    { t: Type.Number({ ...FLOAT32, default: 0.5, description: '0: the first model, 1: the second' }) },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({}, { additionalProperties: false }),
  inputs: 'weights',
  blend(gram, { global: { t } }) {
    const [n0, n1] = norms(gram).map((norm) => (norm > TINY ? norm : 1)) as [number, number];
    const cosine = gram.dot(0, 1) / n0 / n1;
    return Math.abs(cosine) > ALIGNED ? [1 - t, t] : sphericalWeights(Math.acos(cosine), t);
  },
  combine: addBlend,
});
