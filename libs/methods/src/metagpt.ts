import { AmalgamError, quote, Type } from '@amalgam/contracts';
import { addSum } from './combine.js';
import { defineMethod } from './definition.js';
import { sumsOf } from './survey.js';

export const metagpt = defineMethod({
  name: 'metagpt',
  summary: 'Task arithmetic with factors in closed form: each task vector’s share of the squared norms',
  formula: 'τᵢ = θᵢ − θ₀, of all merged tensors together;  λᵢ = ‖τᵢ‖² ÷ Σ ‖τⱼ‖²;  θ = θ₀ + Σ λᵢ τᵢ',
  source: 'Zhou et al., MetaGPT: Merging Large Language Models Using Model Exclusive Task Arithmetic, EMNLP 2024',
  notes: [
    'The norms are those of whole models, over every tensor that is merged, embeddings and heads among them; the recipe’s merge.include and merge.exclude narrow that. The paper does not say which tensors enter.',
    'The factors add up to 1. They minimise an upper bound of the mean loss where task vectors are orthogonal and models linear around the base.',
    'The paper also applies it to task vectors that TIES or DARE have sparsified; here they are whole.',
    'Task vectors that all are 0 leave the base as it is.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object({}, { additionalProperties: false }),
  modelParameters: Type.Object({}, { additionalProperties: false }),
  inputs: 'task_vectors',
  surveys: () => [
    {
      kind: 'sums',
      scope: 'model',
      measure: ({ kernels, models, stride, count, n }) =>
        Array.from({ length: count }, (_, i) => kernels.ops.sumSquares(models + i * stride, n)),
      check: finite,
    },
  ],
  combine(block) {
    const squares = sumsOf(block.found, 0);
    const total = squares.reduce((sum, x) => sum + x, 0);
    return addSum(
      block,
      squares.map((x) => (total === 0 ? 0 : x / total)),
      1,
      false,
    );
  },
});

/** A norm that is not finite would make every tensor of the result so. */
function finite(sums: number[], tensor: string): void {
  const model = sums.findIndex((sum) => !Number.isFinite(sum));
  if (model === -1) return;
  const detail = `tensor ${quote(tensor)} of models/${model} minus the base is not finite, so the model has no norm`;
  throw new AmalgamError('invalid_checkpoint', detail, { errors: [{ pointer: `/models/${model}/model`, detail }] });
}
