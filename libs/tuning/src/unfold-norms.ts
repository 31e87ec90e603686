import { isFloat } from '@amalgam/contracts';
import { type Origin, storedValues } from './bind-contents.js';
import { leafOf, moduleOf } from './bind-names.js';
import type { StoredCheckpoint, StoredTensor } from './stored.js';
import type { Norm } from './unfold-fit.js';

/** A batch normalization's tensors in a checkpoint. */
export interface StoredNorm {
  from: Origin;
  module: string;
  channels: number;
  tensors: Readonly<Record<keyof Norm, StoredTensor>>;
}

/** The names of the four tensors, as PyTorch calls them, and as converted checkpoints of other libraries do. */
const SPELLINGS: readonly Readonly<Record<keyof Norm, string>>[] = [
  { scale: 'weight', shift: 'bias', mean: 'running_mean', variance: 'running_var' },
  { scale: 'gamma', shift: 'beta', mean: 'moving_mean', variance: 'moving_variance' },
];

/** All batch normalizations of a checkpoint, in its order. */
export function storedNorms({ tensors }: StoredCheckpoint, from: Origin): StoredNorm[] {
  return Object.keys(tensors).flatMap((name): StoredNorm[] => {
    const spelling = SPELLINGS.find(({ mean }) => mean === leafOf(name));
    if (spelling === undefined) return [];
    const module = moduleOf(name);
    const of = (part: keyof Norm) => {
      const full = module === '' ? spelling[part] : `${module}.${spelling[part]}`;
      return Object.hasOwn(tensors, full) ? tensors[full] : undefined;
    };
    const [scale, shift, mean, variance] = [of('scale'), of('shift'), of('mean'), of('variance')];
    if (scale === undefined || shift === undefined || mean === undefined || variance === undefined) return [];
    const all = [scale, shift, mean, variance];
    const channels = mean.shape[0];
    if (all.some(({ shape, dtype }) => shape.length !== 1 || shape[0] !== channels || !isFloat(dtype))) return [];
    return [{ from, module, channels: channels!, tensors: { scale, shift, mean, variance } }];
  });
}

export async function readNorm({ tensors: { scale, shift, mean, variance } }: StoredNorm): Promise<Norm> {
  return {
    scale: await storedValues(scale),
    shift: await storedValues(shift),
    mean: await storedValues(mean),
    variance: await storedValues(variance),
  };
}

/**
 * How likely a batch normalization follows a convolution by their modules' names: 3 where they are a pair (`conv1` and
 * `bn1`, `0` and `1` of a sequence, `stem.conv` and `stem.bn`), 2 where the norm is the only one beside the
 * convolution, 0 otherwise.
 */
export function pairing(convolution: string, norm: string, norms: readonly StoredNorm[]): number {
  const parent = moduleOf(convolution);
  if (moduleOf(norm) !== parent) return 0;
  const [one, other] = [leafOf(convolution), leafOf(norm)];
  if (/^\d+$/.test(one) && Number(other) === Number(one) + 1) return 3;
  if (/\D/.test(one) && withoutKind(one) === withoutKind(other)) return 3;
  return norms.filter(({ module }) => moduleOf(module) === parent).length === 1 ? 2 : 0;
}

/** What is left of `dw_conv2` and `dw_bn2`. */
function withoutKind(leaf: string): string {
  return leaf.toLowerCase().replace(/convolution|conv|fc|linear|batch_?norm|normalization|norm|bn/g, '');
}
