import Type from 'typebox';
import { BLOCK, type Block, defineMethod, type Settings } from './definition.js';
import { density, weight } from './parameters.js';
import { type Found, marksOf } from './survey.js';

const f = Math.fround;

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
    'exp and tanh are computed in float64 and rounded to float32.',
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

interface Bounds {
  low: number;
  high: number;
}

function boundsOf(found: Found[], survey: number): Bounds[] {
  return marksOf(found, survey).map(([low, high]) => ({ low: low!.value, high: high!.value }));
}

function vectorsOf({ kernels, models, stride, count, n }: Block): Float32Array[] {
  return Array.from({ length: count }, (_, i) => kernels.floats(models + i * stride, n));
}

/** What a thread works with in a block, kept from block to block. */
const sums = new Float32Array(BLOCK);
const totals = new Float32Array(BLOCK);
const units: Float32Array[] = [];
const clipped: Float32Array[] = [];

function scratch(list: Float32Array[], i: number): Float32Array {
  list[i] ??= new Float32Array(BLOCK);
  return list[i];
}

/** Writes (x − low) ÷ (high − low) for |x| clipped to both; 0 where they are equal. */
function scaleMagnitudes(x: Float32Array, { low, high }: Bounds, n: number, to: Float32Array): void {
  const range = f(high - low);
  for (let at = 0; at < n; at++) {
    const size = Math.abs(x[at]!);
    to[at] = range === 0 ? 0 : f((size < low ? low : size > high ? high : size) - low) / range;
  }
}

/** Below this tanh x is x in float32: x² ÷ 3 is less than half of what its last digit is worth. */
const LINEAR = 2 ** -12;

/** Replaces the task vectors by Bᵢ. */
function writeBalances(block: Block): void {
  const { n, found } = block;
  const bounds = boundsOf(found, 0);
  const vectors = vectorsOf(block);
  const tasks = vectors.length;
  sums.fill(0, 0, n);
  vectors.forEach((x, i) => {
    const unit = scratch(units, i);
    scaleMagnitudes(x, bounds[i]!, n, unit);
    for (let at = 0; at < n; at++) {
      const sign = x[at]!;
      // NaN has no sign, and makes the sum NaN.
      sums[at] = sums[at]! + (sign > 0 ? unit[at]! : sign < 0 ? -unit[at]! : sign);
    }
  });
  vectors.forEach((x, i) => {
    const unit = units[i]!;
    for (let at = 0; at < n; at++) {
      const within = f(Math.exp(f(tasks * f(unit[at]! * unit[at]!))));
      const between = f(x[at]! * sums[at]!);
      x[at] = within * (between < LINEAR && between > -LINEAR ? between : f(Math.tanh(between)));
    }
  });
}

function addBalanced(block: Block, { models }: Settings<unknown, { weight: number }>): 0 {
  const { kernels, base, out, n, found } = block;
  const sizes = boundsOf(found, 0);
  const bounds = boundsOf(found, 1);
  const vectors = vectorsOf(block);
  vectors.forEach((x, i) => {
    const { low, high } = sizes[i]!;
    const weight = f(models[i]!.weight);
    const own = scratch(clipped, i);
    for (let at = 0; at < n; at++) {
      const size = Math.abs(x[at]!);
      const kept = size < low ? low : size > high ? high : size;
      own[at] = weight * (x[at]! > 0 ? kept : x[at]! < 0 ? -kept : x[at]!);
    }
  });
  writeBalances(block);
  sums.fill(0, 0, n);
  totals.fill(0, 0, n);
  vectors.forEach((balance, i) => {
    const { low, high } = bounds[i]!;
    const range = f(high - low);
    const own = clipped[i]!;
    for (let at = 0; at < n; at++) {
      const x = balance[at]!;
      // The place of the largest is the upper bound, so only the lower one clips; NaN passes.
      const share = range === 0 || x < low ? 0 : f(f(x - low) / range);
      sums[at] = sums[at]! + f(own[at]! * share);
      totals[at] = totals[at]! + share;
    }
  });
  const merged = kernels.floats(out, n);
  const least = f(1e-12);
  for (let at = 0; at < n; at++) merged[at] = sums[at]! / Math.max(totals[at]!, least);
  kernels.ops.addScaled(base!, out, 1, out, n);
  return 0;
}
