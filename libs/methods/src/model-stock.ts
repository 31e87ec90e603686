import { Type } from '@amalgam/contracts';
import { addBlend } from './combine.js';
import { defineMethod } from './definition.js';
import { clamp, norms } from './gram.js';

export const modelStock = defineMethod({
  name: 'model_stock',
  summary:
    'Base plus a share of the mean task vector that the angles between the task vectors decide, tensor by tensor',
  formula:
    'τᵢ = θᵢ − θ₀, each a whole tensor as one vector;  c = mean over pairs of the cosine of τᵢ and τⱼ, at least 0;  ' +
    't = N c ÷ (1 + (N − 1) c);  θ = θ₀ + t · (1 ÷ N) Σ τᵢ',
  source: 'Jang et al., Model Stock: All we need is just a few fine-tuned models, ECCV 2024',
  notes: [
    'Where the task vectors point apart on average (c < 0) the base stays. mergekit’s t is negative there, which leads away from the models, and infinite at c = −1 ÷ (N − 1).',
    'The mean is that of the cosines, as in mergekit; FusionBench averages the angles.',
    'Cosines are exact for any size of the task vectors; mergekit’s shrink where the product of two norms is below 1e-6. A task vector of zeros has cosine 0 with every other.',
    'With filter_wise each row of a tensor (the last dimension) is a vector of its own; a vector is one row.',
  ],
  base: 'required',
  models: { minimum: 2, maximum: null },
  parameters: Type.Object(
    {
      filter_wise: Type.Boolean({
        default: false,
        uniform: true,
        description: 'Take each row of a tensor for a vector of its own',
      }),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({}, { additionalProperties: false }),
  inputs: 'task_vectors',
  blendScope: ({ global }) => (global.filter_wise ? 'row' : 'tensor'),
  blend(gram, { models }) {
    const count = models.length;
    const lengths = norms(gram);
    let sum = 0;
    for (let j = 1; j < count; j++) {
      for (let i = 0; i < j; i++) {
        if (lengths[i] !== 0 && lengths[j] !== 0) sum += clamp(gram.dot(i, j) / lengths[i]! / lengths[j]!, -1, 1);
      }
    }
    const cosine = Math.max(0, sum / ((count * (count - 1)) / 2));
    const t = (count * cosine) / (1 + (count - 1) * cosine);
    return models.map(() => t / count);
  },
  combine: addBlend,
});
