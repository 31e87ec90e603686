import { Type } from '@amalgam/contracts';
import { defineMethod } from './definition.js';
import { addOverlapping, epsilon, RAM_NOTES, RAM_SOURCE } from './overlap.js';

export const ram = defineMethod({
  name: 'ram',
  summary: 'Base plus, entry by entry, the mean of only those task vectors that have moved it',
  formula:
    'τᵢ = θᵢ − θ₀;  A = { i : |τᵢ| > epsilon };  θ = θ₀ + (1 ÷ |A|) Σ_A τᵢ, entry by entry;  θ = θ₀ where A is empty',
  source: RAM_SOURCE,
  notes: RAM_NOTES,
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object({ epsilon: epsilon() }, { additionalProperties: false }),
  modelParameters: Type.Object({}, { additionalProperties: false }),
  inputs: 'task_vectors',
  combine: (block, { global }) =>
    addOverlapping(
      block,
      Array.from({ length: block.count }, () => 1),
      global.epsilon,
    ),
});
