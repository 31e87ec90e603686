import { Type } from '@amalgam/contracts';
import type { Block } from './definition.js';

/** What ram and ramplus_tl share. */

export const RAM_SOURCE =
  'Yuan et al., Behavior Knowledge Merge in Reinforced Agentic Models, 2026 (arXiv 2601.13572), RAM; as mergekit does';

export const RAM_NOTES = [
  'An entry counts as moved when |τ| > epsilon; what is not moved is dropped. NaN counts as moved, so that it shows.',
  'A mean is formed as the sum, in the order of the models, divided once.',
];

/** Smallest change that counts. */
export const epsilon = () =>
  Type.Number({
    default: 1e-5,
    minimum: 0,
    maximum: 3.4028234663852886e38,
    description: 'Entries of a task vector of at most this magnitude are dropped',
  });

/** τ: the mean of the task vectors that have moved an entry, or where one alone has, that times its factor; then θ = θ₀ + τ. */
export function addOverlapping(block: Block, factors: number[], epsilon: number): 0 {
  const { kernels, models, stride, count, weights, base, out, n } = block;
  kernels.floats(weights, count).set(factors);
  kernels.ops.mergeOverlaps(models, stride, count, weights, epsilon, out, padded(n));
  kernels.ops.addScaled(base!, out, 1, out, n);
  return 0;
}

/** By model: how many entries of the block it has moved with others, and how many it alone has. */
export function countMoved({ kernels, models, stride, count, out, n }: Block, epsilon: number): number[] {
  const counts = kernels.words(out, 2 * count);
  counts.fill(0);
  kernels.ops.countOverlaps(models, stride, count, epsilon, out, padded(n));
  return [...counts];
}

/** Kernels over several task vectors take four elements at a time; zeros lie behind the last. */
function padded(n: number): number {
  return Math.ceil(n / 4) * 4;
}
