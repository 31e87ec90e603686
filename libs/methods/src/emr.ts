import { Type } from '@amalgam/contracts';
import { type Block, defineMethod } from './definition.js';
import { type Found, sumsOf } from './survey.js';

export const emr = defineMethod({
  name: 'emr',
  summary:
    'One unified task vector, with a mask of one bit an entry and a rescaler for each model, from which its task is rebuilt',
  formula:
    'τᵢ = θᵢ − θ₀;  γ = + where Σ τᵢ > 0, else −;  u = γ · max of |τᵢ| over the τᵢ of sign γ, entry by entry;  mᵢ = 1 where τᵢ γ > 0, else 0;  ' +
    'λᵢ = Σ mean |τᵢ| ÷ Σ mean |mᵢ u|, means by tensor, sums over tensors;  θ = θ₀ + u;  the model of task i is θ₀ + λᵢ mᵢ u',
  source:
    'Huang et al., EMR-Merging: Tuning-Free High-Performance Model Merging, NeurIPS 2024 (arXiv 2405.17461); its CLIP code',
  notes: [
    'The result itself is θ₀ + u, which no task uses as it is. masks/<model>.safetensors has each merged tensor’s mask under its name, U8, eight entries a byte, the first in the lowest bit, and the rescaler as emr.rescaler, F32 of one entry. docs/emr.md shows how a task’s model is rebuilt from them.',
    'The means of the rescaler are those of each tensor, as in the authors’ CLIP code; their code for flat vectors takes one mean over all entries.',
    'Where the task vectors cancel to exactly 0 the elected sign is −, as in the authors’ code.',
    'A result with out_dtype, or a base, of less than float32 has u rounded with it; masks and rescalers are those before.',
    'A model whose mask is empty has rescaler 1.',
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
      measure(block) {
        const { kernels, models, stride, count, out, n } = block;
        const sums: number[] = [];
        for (let k = 0; k < count; k++) sums.push(kernels.ops.sumMagnitudes(models + k * stride, n));
        kernels.ops.unify(models, stride, count, out, padded(n));
        for (let k = 0; k < count; k++) sums.push(kernels.ops.sumShared(models + k * stride, out, padded(n)));
        return sums;
      },
      join: (tensors) =>
        (tensors[0]?.sums ?? []).map((_, at) =>
          tensors.reduce((sum, { elements, sums }) => sum + sums[at]! / elements, 0),
        ),
    },
  ],
  masks: { name: 'emr.rescaler', select: selectShared, rescalers },
  combine(block) {
    const { kernels, models, stride, count, base, out, n } = block;
    kernels.ops.unify(models, stride, count, out, padded(n));
    kernels.ops.addScaled(base!, out, 1, out, n);
    return 0;
  },
});

function padded(n: number): number {
  return Math.ceil(n / 4) * 4;
}

/** Leaves mᵢ u of each task vector. */
function selectShared({ kernels, models, stride, count, out, n }: Block): void {
  kernels.ops.unify(models, stride, count, out, padded(n));
  for (let k = 0; k < count; k++) kernels.ops.takeAgreed(models + k * stride, out, padded(n));
}

function rescalers(found: Found[]): number[] {
  const sums = sumsOf(found, 0);
  const count = sums.length / 2;
  return Array.from({ length: count }, (_, i) => (sums[count + i] === 0 ? 1 : sums[i]! / sums[count + i]!));
}
