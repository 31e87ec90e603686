import { Type } from '@amalgam/contracts';
import { defineMethod } from './definition.js';
import { clamp } from './gram.js';
import { addOverlapping, countMoved, epsilon, RAM_NOTES, RAM_SOURCE } from './overlap.js';
import { FLOAT32 } from './parameters.js';
import { sumsOf } from './survey.js';

export const ramplusTl = defineMethod({
  name: 'ramplus_tl',
  summary: 'ram, with what one task vector alone has moved enlarged the more of its tensor it shares with others',
  formula:
    'τᵢ = θᵢ − θ₀;  A = { i : |τᵢ| > epsilon }, entry by entry;  of each tensor ρᵢ = (entries with i ∈ A and |A| > 1) ÷ max(entries with ' +
    'A = { i }, epsilon);  λᵢ = 1 + r · min(ρᵢ, alpha);  θ = θ₀ + (1 ÷ |A|) Σ_A τᵢ where |A| > 1, θ₀ + λᵢ τᵢ where A = { i }, else θ₀',
  source: RAM_SOURCE,
  notes: [
    ...RAM_NOTES,
    'tl: the ρᵢ are those of each tensor, as in mergekit; the paper’s are those of whole task vectors.',
    'mergekit’s result is float32 whatever the dtype of its inputs; here it has the dtype of the base, or the recipe’s out_dtype.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      r: Type.Number({ ...FLOAT32, default: 0.1, description: 'How much sharing enlarges what is not shared' }),
      alpha: Type.Number({ ...FLOAT32, default: 0.2, minimum: 0, description: 'Largest ρ that counts' }),
      epsilon: epsilon(),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({}, { additionalProperties: false }),
  inputs: 'task_vectors',
  surveys: ({ global }) => [{ kind: 'sums', scope: 'tensor', measure: (block) => countMoved(block, global.epsilon) }],
  combine(block, { global: { r, alpha, epsilon } }) {
    const counts = sumsOf(block.found, 0);
    const factors = Array.from({ length: block.count }, (_, i) => {
      const [shared, alone] = [counts[2 * i]!, counts[2 * i + 1]!];
      return 1 + r * clamp(shared / Math.max(alone, epsilon), 0, alpha);
    });
    return addOverlapping(block, factors, epsilon);
  },
});
