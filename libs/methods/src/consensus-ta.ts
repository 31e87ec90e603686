import { Type } from '@amalgam/contracts';
import { defineMethod } from './definition.js';
import { FLOAT32, lambda } from './parameters.js';

export const consensusTa = defineMethod({
  name: 'consensus_ta',
  summary: 'Task arithmetic over the entries that matter to enough of the tasks, by their TALL masks',
  formula:
    'τᵢ = θᵢ − θ₀;  s = Σ τᵢ;  mᵢ = 1 where |τᵢ| > ℓᵢ |s − τᵢ|, else 0;  c = 1 where Σ mᵢ ≥ k, else 0;  θ = θ₀ + λ c s;  all entry by entry',
  source:
    'Wang et al., Localizing Task Information for Improved Model Merging and Compression, ICML 2024 (arXiv 2405.07813)',
  notes: [
    'ℓᵢ is mask_lambda: the paper chooses it for each task from 0.2, 0.3, 0.4, 0.5, 0.6 on labelled validation data, and λ from 0.1 … 1.0. Neither is searched here; the defaults are the middle of the one grid, and the λ of task arithmetic.',
    'The masks compare |θ₀ − θᵢ| with |θ₀ + s − θᵢ|, as the paper and its code do. FusionBench compares with the task vector where the model is meant, which is another rule.',
    'k 1 keeps what matters to any task, k 2 (default, as in the paper) drops what is selfish, too; k 0 is task arithmetic.',
    'An entry that is NaN or infinite in a model makes every comparison of it false: it matters to no task, and stays the base’s unless k is 0.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      lambda: lambda(0.3),
      k: Type.Integer({
        default: 2,
        minimum: 0,
        maximum: 64,
        description: 'How many tasks an entry must matter to',
      }),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object(
    {
      mask_lambda: Type.Number({
        ...FLOAT32,
        minimum: 0,
        default: 0.4,
        description: 'How much larger than ℓ times the rest of the sum a task’s entry must be to matter to it',
      }),
    },
    { additionalProperties: false },
  ),
  inputs: 'task_vectors',
  check({ global: { k }, models }) {
    if (k <= models.length) return [];
    const detail = `no entry can matter to ${k} of ${models.length} tasks: the base would be the result`;
    return [{ pointer: '/parameters/k', detail }];
  },
  combine({ kernels, models, stride, count, weights, base, out, n }, { global, models: own }) {
    kernels.floats(weights, count).set(own.map((model) => model.mask_lambda));
    kernels.ops.sumAgreed(models, stride, count, weights, global.k, out, Math.ceil(n / 4) * 4);
    kernels.ops.addScaled(base!, out, global.lambda, out, n);
    return 0;
  },
});
