import type { Pointer } from '@amalgam/kernels';
import type { Block } from './definition.js';

/** How methods combine a block. */

/**
 * θ = Σ cᵢ xᵢ, plus θ₀ over task vectors, with coefficients for the tensor, or for each entry where the block has shares. No signs are
 * elected: 0.
 */
export function addBlend(block: Block): 0 {
  return block.shares === null ? addWhole(block) : addEach(block, block.shares);
}

function addEach({ kernels: { ops }, models, stride, count, sharesStride, base, out, n }: Block, shares: Pointer): 0 {
  ops.blendEach(models, stride, shares, sharesStride, count, out, n);
  if (base !== null) ops.addScaled(base, out, 1, out, n);
  return 0;
}

/**
 * θ = Σ cᵢ xᵢ, plus θ₀ over task vectors, with the coefficients at `block.weights`, in the order of the models. A model whose
 * coefficient is 0 does not enter at all.
 */
function addWhole(block: Block): 0 {
  const { base, n, out } = block;
  const { ops } = block.kernels;
  const coefficients = block.kernels.floats(block.weights, block.count);
  // The first input that enters lends its place to the sum: block inputs may be overwritten.
  let sum: Pointer | null = null;
  for (const [i, coefficient] of coefficients.entries()) {
    if (coefficient === 0) continue;
    const source = block.models + i * block.stride;
    if (sum === null) {
      sum = source;
      ops.scale(source, coefficient, sum, n);
    } else {
      ops.accumulate(source, coefficient, sum, n);
    }
  }
  if (sum === null && base === null) block.kernels.floats(out, n).fill(0);
  else if (sum === null) ops.scale(base!, 1, out, n);
  else if (base === null) ops.scale(sum, 1, out, n);
  else ops.addScaled(base, sum, 1, out, n);
  return 0;
}

/** θ = θ₀ + λ τ, τ = Σ wᵢ τᵢ in the order of the models, ÷ Σ wᵢ with `normalize`. No signs are elected: 0. */
export function addSum(block: Block, weights: number[], lambda: number, normalize: boolean): 0 {
  const { ops } = block.kernels;
  // The first task vector's place takes the sum: block inputs may be overwritten.
  const sum = block.models;
  weights.forEach((weight, i) => {
    const source = block.models + i * block.stride;
    if (i === 0) ops.scale(source, weight, sum, block.n);
    else ops.accumulate(source, weight, sum, block.n);
  });
  if (normalize) {
    const total = weights.reduce((all, weight) => all + weight, 0);
    ops.divide(sum, total, sum, block.n);
  }
  ops.addScaled(block.base!, sum, lambda, block.out, block.n);
  return 0;
}

/** What elects the sign of an entry: the sum of the weighted task vectors, or how many of them have either sign. */
export type Consensus = 'sum' | 'count';

/**
 * xᵢ = wᵢ τᵢ;  s = Σ xᵢ, or the number of xᵢ > 0 less that of xᵢ < 0;  γ = + where s ≥ 0, else −;  A = { i : xᵢ ≠ 0 with sign γ };
 * τ = Σ_A xᵢ, ÷ Σ_A |wᵢ| with `normalize`;  θ = θ₀ + λ τ. Returns how many entries have survivors of both signs.
 */
export function addElected(block: Block, consensus: Consensus, lambda: number, normalize: boolean): number {
  const { kernels, models, stride, count, weights, base, out, n } = block;
  const padded = Math.ceil(n / 4) * 4;
  const byCount = consensus === 'count';
  const conflicts = kernels.ops.electMerge(models, stride, count, weights, out, padded, normalize, byCount);
  kernels.ops.addScaled(base!, out, lambda, out, n);
  return conflicts;
}
