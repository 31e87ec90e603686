import type { Settings } from './definition.js';
import type { ByChance } from './sparsify.js';

/** What dare_linear and dare_ties share. */

export const DARE_SOURCE =
  'Yu et al., Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch, ICML 2024';

export const DARE_NOTES = [
  'rescale divides by the density, as in the paper, so that each entry keeps its expected value. mergekit scales each tensor so that its sum of magnitudes is what it was before, which differs from that by the luck of the draw.',
  'A mask depends on seed, name of the tensor, place of the model in the recipe, and index of the entry (Philox4x32-10), and on nothing else: not on other tensors, threads or machines. The paper’s and mergekit’s masks depend on the order of execution.',
  'A dropped entry is 0 whatever it was, NaN too.',
];

type Parameters = Settings<{ rescale: boolean; seed: number }, { density: number }>;

export function toChance({ global: { rescale, seed }, models }: Parameters): ByChance {
  return { by: 'chance', densities: models.map(({ density }) => density), rescale, seed };
}
