import type { FieldError } from '@amalgam/contracts';
import { Type } from '@amalgam/contracts';
import type { Settings } from './definition.js';
import type { RescaleBy } from './rescale.js';
import type { ByRankedChance } from './sparsify.js';

/** What della and della_linear share. */

export const DELLA_SOURCE =
  'Deep et al., DELLA-Merging: Reducing Interference in Model Merging through Magnitude-Based Sampling, 2024 (arXiv 2406.11617)';

export const DELLA_NOTES = [
  'A row is the entries that differ in the last index only; of a vector all, and a scalar is a row of one. mergekit ranks along the second dimension, which is the same for matrices and vectors.',
  'Entries of equal magnitude share the mean of their ranks, so none is favoured for its place, and the mean probability of a row is the density. A row of one entry keeps it with probability density; mergekit fails there.',
  'rescale divides each entry by its own probability of being kept, as the paper does; with rescale_by sum it scales each tensor of a task vector so that its sum of magnitudes is what it was before, as mergekit does.',
  'density 1 keeps everything, 0 drops everything; epsilon does not matter then, as in mergekit.',
  'Masks are drawn as in dare_linear, and a dropped entry is 0 whatever it was.',
];

export const epsilon = (value: number) =>
  Type.Number({
    default: value,
    minimum: 0,
    exclusiveMaximum: 1,
    description: 'Half the range of the probabilities: density ± epsilon must lie in (0, 1]',
  });

type Parameters = Settings<
  { rescale: boolean; rescale_by: RescaleBy; seed: number },
  { density: number; epsilon: number }
>;

export function checkRange(models: Parameters['models']): FieldError[] {
  return models.flatMap(({ density, epsilon }, i) => {
    if (density === 0 || density === 1 || (density - epsilon > 0 && density + epsilon <= 1)) return [];
    const detail = `probabilities of ${density} ± ${epsilon} (density ± epsilon) do not lie in (0, 1]`;
    return [{ pointer: `/models/${i}/parameters/epsilon`, detail }];
  });
}

export function toRankedChance({ global: { rescale, rescale_by, seed }, models }: Parameters): ByRankedChance {
  return {
    by: 'ranked chance',
    densities: models.map(({ density }) => density),
    epsilons: models.map((model) => model.epsilon),
    rescale: rescale && rescale_by === 'probability',
    seed,
  };
}
