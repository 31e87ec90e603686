import type { Settings } from './definition.js';
import type { RescaleBy } from './rescale.js';
import type { ByChance } from './sparsify.js';

/** What dare_linear and dare_ties share. */

export const DARE_SOURCE =
  'Yu et al., Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch, ICML 2024';

export const DARE_NOTES = [
  'rescale divides by the density, as in the paper, so that each entry keeps its expected value. With rescale_by sum it scales each tensor of a task vector so that its sum of magnitudes is what it was before, as mergekit does, which differs from that by the luck of the draw.',
  'A mask depends on seed, name of the tensor, place of the model in the recipe, and index of the entry (Philox4x32-10), and on nothing else: not on other tensors, threads or machines. The paper’s and mergekit’s masks depend on the order of execution.',
  'A dropped entry is 0 whatever it was, NaN too. density 0 drops everything.',
];

type Parameters = Settings<{ rescale: boolean; rescale_by: RescaleBy; seed: number }, { density: number }>;

export function toChance({ global: { rescale, rescale_by, seed }, models }: Parameters): ByChance {
  return {
    by: 'chance',
    densities: models.map(({ density }) => density),
    rescale: rescale && rescale_by === 'probability',
    seed,
  };
}
