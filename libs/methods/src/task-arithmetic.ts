import { Type } from '@amalgam/contracts';
import { addSum } from './combine.js';
import { defineMethod } from './definition.js';
import { lambda, normalize, weight, weightsOf, weightsSumToZero } from './parameters.js';

export const taskArithmetic = defineMethod({
  name: 'task_arithmetic',
  summary: 'Base plus a scaled sum of task vectors',
  formula: 'θ = θ₀ + λ Σ wᵢ (θᵢ − θ₀)  (the sum ÷ Σ wᵢ with normalize)',
  source: 'Ilharco et al., Editing models with task arithmetic, ICLR 2023',
  notes: [
    'λ is 0.3 unless given, the value that later work uses where nothing can be tuned; mergekit’s default is 1.',
    'Negative weights forget a task (the paper’s negation).',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object({ lambda: lambda(0.3), normalize: normalize(false) }, { additionalProperties: false }),
  modelParameters: Type.Object({ weight: weight(1) }, { additionalProperties: false }),
  inputs: 'task_vectors',
  check: ({ global, models }) => weightsSumToZero(global.normalize, models),
  combine: (block, { global, models }) => addSum(block, weightsOf(models), global.lambda, global.normalize),
});
