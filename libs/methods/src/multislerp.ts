import { AmalgamError, Type } from '@amalgam/contracts';
import { addBlend } from './combine.js';
import { defineMethod } from './definition.js';
import { divided, dotOf, norms } from './gram.js';
import { weight, weightsSumToZero } from './parameters.js';

export const multislerp = defineMethod({
  name: 'multislerp',
  summary: 'Weighted mean direction of any number of models, or task vectors, with their weighted mean norm',
  formula:
    'x = θ, or θ − θ₀ with a base, each a whole tensor as one vector;  uᵢ = xᵢ ÷ (‖xᵢ‖ + eps);  m = Σ wᵢ uᵢ;  ' +
    'x = (Σ wᵢ ‖xᵢ‖) m ÷ ‖m‖;  wᵢ ÷ Σ w first, with normalize_weights;  θ = x, or θ₀ + x',
  source: 'mergekit; after Buss and Fillmore, Spherical averages, ACM Transactions on Graphics 2001',
  notes: [
    'mergekit takes one step along the sphere from m ÷ ‖m‖, in the direction of the weighted tangents. Their sum is 0 there, whatever the vectors, but for rounding: the step is left out.',
    'Two vectors whose weighted directions cancel (‖m‖ < eps) are added up with their weights, as in mergekit; more than two are refused. Where all vectors are zero, of a tensor that no model has changed say, so is the result; mergekit refuses that too.',
    'One model is returned as it is.',
  ],
  base: 'optional',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      normalize_weights: Type.Boolean({ default: true, description: 'Divide the weights by their sum' }),
      eps: Type.Number({ default: 1e-8, exclusiveMinimum: 0, maximum: 1, description: 'Smallest norm that counts' }),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({ weight: weight(1) }, { additionalProperties: false }),
  inputs: 'by_base',
  check: ({ global, models }) =>
    weightsSumToZero(global.normalize_weights, models).map((error) => ({
      ...error,
      pointer: '/parameters/normalize_weights',
    })),
  blend(gram, { global: { normalize_weights, eps }, models }, tensor) {
    if (models.length === 1) return [1];
    const total = normalize_weights ? models.reduce((sum, { weight }) => sum + weight, 0) : 1;
    const weights = models.map(({ weight }) => weight / total);
    const lengths = norms(gram);
    if (lengths.every((length) => length === 0)) return weights;
    const units = lengths.map((norm) => norm + eps);
    const length = Math.sqrt(Math.max(0, dotOf(divided(gram, units), weights, weights)));
    if (length < eps) {
      if (models.length === 2) return weights;
      const detail = `multislerp has no mean direction in tensor "${tensor}": the models' weighted directions cancel`;
      throw new AmalgamError('invalid_recipe', detail, { errors: [{ pointer: '/models', detail }] });
    }
    const norm = weights.reduce((sum, weight, i) => sum + weight * lengths[i]!, 0);
    return weights.map((weight, i) => (norm * weight) / length / units[i]!);
  },
  combine: addBlend,
});
