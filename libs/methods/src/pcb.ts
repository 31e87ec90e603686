import { Type } from '@amalgam/contracts';
import { type Block, defineMethod, NUMBERS, type Settings } from './definition.js';
import { density, weight } from './parameters.js';
import { marksOf } from './survey.js';

export const pcb = defineMethod({
  name: 'pcb',
  summary:
    'Task vectors weighted entry by entry by how they compete, within a task and between tasks; weak entries are dropped',
  formula:
    'τᵢ = θᵢ − θ₀ with d entries;  aᵢ = |τᵢ| clipped to its clip and 1 − clip quantiles, nᵢ = aᵢ scaled to [0, 1];  ' +
    'Bᵢ = exp(T nᵢ²) · tanh(τᵢ Σⱼ sign(τⱼ) nⱼ);  sᵢ = Bᵢ, raised to its 1 − density quantile and scaled to [0, 1];  ' +
    'θ = θ₀ + Σ wᵢ sign(τᵢ) aᵢ sᵢ ÷ max(Σ sᵢ, 1e-12)',
  source:
    'Du et al., Parameter Competition Balancing for Model Merging, NeurIPS 2024 (arXiv 2410.02396); the authors’ code for vision models',
  notes: [
    'The authors’ four programs differ. This is that of their vision experiments without search: clip 0.01 and Σ sign(τⱼ) nⱼ; two others sum τⱼ itself, one of them with clip 0.0001, and the one with evolutionary search sums tanh(nᵢ nⱼ). The paper has softmax where all of them have exp and tanh.',
    'Quantiles are entries: of d sorted magnitudes those at floor(clip · d) and floor((1 − clip) · d − 1), and of Bᵢ that at floor((1 − density) · d), counted from 0. The entry at the lowest kept place is scaled to 0, as in the code.',
    'scope model (default): quantiles of a whole task vector, as in the paper; tensor: of each tensor.',
    'Where all clipped magnitudes, or all kept Bᵢ, are equal there is nothing to scale and they count as 0; the code divides 0 by 0.',
    'Where magnitudes are small against 1 so is what tanh takes: the weights then follow the order of τᵢ Σⱼ sign(τⱼ) nⱼ alone, and of exp(T nᵢ²).',
    'exp and tanh are computed in float64 by our own series, within 6e-16, and rounded to float32: the same bytes on every machine.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      density: density(0.05),
      clip: Type.Number({
        default: 0.01,
        minimum: 0,
        exclusiveMaximum: 0.5,
        description: 'Share of each task vector’s largest and of its smallest magnitudes that is clipped',
      }),
      scope: Type.Enum(['model', 'tensor'], { default: 'model', description: 'What shares its quantiles' }),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({ weight: weight(1.2) }, { additionalProperties: false }),
  inputs: 'task_vectors',
  uniform: ({ global: { scope } }) => (scope === 'model' ? ['density', 'clip'] : []),
  surveys: ({ global: { density, clip, scope } }) => [
    {
      kind: 'ranking',
      scope,
      of: 'models',
      valuesOnly: true,
      order: 'magnitude',
      places({ elements }) {
        const lowest = Math.floor(elements * clip);
        const highest = Math.trunc(elements * (1 - clip) - 1);
        return [elements - lowest, elements - Math.max(lowest, highest)];
      },
    },
    {
      kind: 'ranking',
      scope,
      of: 'models',
      valuesOnly: true,
      order: 'value',
      places({ elements }) {
        const lowest = Math.min(Math.floor(elements * (1 - density)), elements - 1);
        return [elements - lowest, 1];
      },
      values: writeBalances,
    },
  ],
  combine: addBalanced,
});

/**
 * Lays out what was found of each model, and its weight, for the kernels: least and largest magnitude, weight, least and largest balance that
 * is kept.
 */
function writeNumbers({ kernels, numbers, count, found }: Block, weights: number[], balances: number[][]): void {
  const rows = kernels.floats(numbers, count * NUMBERS);
  marksOf(found, 0).forEach(([low, high], i) => {
    rows.set([low!.value, high!.value, weights[i]!, ...balances[i]!], i * NUMBERS);
  });
}

/** Whole vectors of four, as the kernels take them. */
function paddedTo4(n: number): number {
  return Math.ceil(n / 4) * 4;
}

/** Replaces the task vectors by Bᵢ; below their floors they may be 0. */
function writeBalances(block: Block, floors: (() => readonly number[]) | null): void {
  const { kernels, models, stride, count, numbers, n } = block;
  const each = floors?.() ?? Array.from({ length: count }, () => Number.NEGATIVE_INFINITY);
  writeNumbers(
    block,
    each.map(() => 0),
    each.map((floor) => [floor, 0]),
  );
  kernels.ops.balance(models, stride, count, numbers, paddedTo4(n));
}

function addBalanced(block: Block, settings: Settings<unknown, { weight: number }>): 0 {
  const { kernels, models, stride, count, numbers, base, out, n } = block;
  const weights = settings.models.map(({ weight }) => weight);
  const balances = marksOf(block.found, 1).map((places) => places.map(({ value }) => value));
  writeNumbers(block, weights, balances);
  kernels.ops.mergeBalanced(models, stride, count, numbers, out, paddedTo4(n));
  kernels.ops.addScaled(base!, out, 1, out, n);
  return 0;
}
