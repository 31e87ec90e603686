import { Type } from '@amalgam/contracts';
import type { Pointer } from '@amalgam/kernels';
import type { Block } from './definition.js';
import { type Found, type Survey, sumsOf } from './survey.js';

/** Task vectors that are scaled, after they were sparsified, to the sum of magnitudes that they had before. */

/** Of the methods that keep by magnitude. */
export const rescaleToSum = () =>
  Type.Boolean({
    default: false,
    description: 'Scale each tensor of a task vector to the sum of magnitudes that it had before entries were dropped',
  });

/** Of the methods that keep by chance. */
export const rescaleBy = () =>
  Type.Enum(['probability', 'sum'], {
    default: 'probability',
    description:
      'With rescale: probability divides by that of being kept; sum scales each tensor to the sum of magnitudes that it had before',
  });

export const RESCALE_NOTE =
  'rescale multiplies what is kept of a task vector in a tensor by Σ |τ| before ÷ Σ |τ| after entries were dropped, as in mergekit; where nothing is left it changes nothing.';

/** The hooks of a method with `rescale` that keeps by magnitude. */
export const rescalesToSum = hooksFor<{ rescale: boolean }>(({ rescale }) => rescale);

/** The hooks of a method with `rescale` and `rescale_by` that keeps by chance. */
export const rescalesByChoice = hooksFor<{ rescale: boolean; rescale_by: RescaleBy }>(
  ({ rescale, rescale_by }) => rescale && rescale_by === 'sum',
);

export type RescaleBy = 'probability' | 'sum';

function hooksFor<G>(isScaled: (global: G) => boolean) {
  return {
    surveys: ({ global }: { global: G }): Survey[] => (isScaled(global) ? magnitudeSums() : []),
    resolve(block: Parameters<typeof restoreSums>[0], { global }: { global: G }): 0 {
      if (isScaled(global)) restoreSums(block);
      return 0;
    },
  };
}

/** By model: Σ |τ| over a tensor before it is sparsified, then after. */
function magnitudeSums(): Survey[] {
  const measure = (block: Block) => vectorsOf(block).map((data) => block.kernels.ops.sumMagnitudes(data, block.n));
  return [{ kind: 'sums', scope: 'tensor', measure, measureKept: measure }];
}

/** Scales the block's task vectors by what `magnitudeSums` found, in place. */
function restoreSums(block: Pick<Block, 'kernels' | 'models' | 'stride' | 'count' | 'n' | 'found'>): void {
  const factors = factorsOf(block.found, block.count);
  vectorsOf(block).forEach((data, i) => {
    if (factors[i] !== 1) block.kernels.ops.scale(data, factors[i]!, data, block.n);
  });
}

function factorsOf(found: Found[], count: number): number[] {
  const sums = sumsOf(found, 0);
  return Array.from({ length: count }, (_, i) => {
    const [before, after] = [sums[i]!, sums[count + i]!];
    return after === 0 ? 1 : before / after;
  });
}

function vectorsOf({ models, stride, count }: Pick<Block, 'models' | 'stride' | 'count'>): Pointer[] {
  return Array.from({ length: count }, (_, i) => models + i * stride);
}
