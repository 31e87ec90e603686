import { Type } from '@amalgam/contracts';
import { defineMethod } from './definition.js';
import { lambda } from './parameters.js';

export const magmax = defineMethod({
  name: 'magmax',
  summary: 'Base plus, entry by entry, the task vector of largest magnitude',
  formula: 'τᵢ = θᵢ − θ₀;  m = the i of largest |τᵢ|, entry by entry;  θ = θ₀ + λ τₘ',
  source:
    'Marczak et al., MagMax: Leveraging Model Merging for Seamless Continual Learning, ECCV 2024 (arXiv 2407.06322)',
  notes: [
    'Among equal magnitudes the model that comes later in the recipe wins, as in FusionBench; so the order of models matters where magnitudes are equal with unlike signs, and nowhere else.',
    'The paper fine-tunes the models one after the other on a sequence of tasks; here they may come from anywhere.',
    'NaN counts as the largest magnitude, so it is not lost.',
    'λ 0.5 is the default of FusionBench.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object({ lambda: lambda(0.5) }, { additionalProperties: false }),
  modelParameters: Type.Object({}, { additionalProperties: false }),
  inputs: 'task_vectors',
  combine({ kernels, models, stride, count, base, out, n }, { global }) {
    // The first task vector's place takes the largest entries: block inputs may be overwritten.
    for (let i = 1; i < count; i++) kernels.ops.keepLarger(models, models + i * stride, Math.ceil(n / 4) * 4);
    kernels.ops.addScaled(base!, models, global.lambda, out, n);
    return 0;
  },
});
