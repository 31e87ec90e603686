import Type from 'typebox';
import { type Block, defineMethod, type Settings } from './definition.js';
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

/** Bounds of what a task vector's magnitudes are clipped to. */
function clipsOf(found: Found[]): { low: number; high: number }[] {
  return marksOf(found, 0).map(([low, high]) => ({ low: low!.value, high: high!.value }));
}

function vectorsOf({ kernels, models, stride, count, n }: Block): Float32Array[] {
  return Array.from({ length: count }, (_, i) => kernels.floats(models + i * stride, n));
}

/** (x − low) ÷ (high − low) for x clipped to both; 0 where they are equal. */
function scaled(x: number, low: number, high: number): number {
  if (high === low) return 0;
  return f(f(Math.min(Math.max(x, low), high) - low) / f(high - low));
}

/** Replaces the task vectors by Bᵢ. */
function writeBalances(block: Block): void {
  const clips = clipsOf(block.found);
  const vectors = vectorsOf(block);
  const tasks = vectors.length;
  const own = new Float32Array(tasks);
  for (let at = 0; at < block.n; at++) {
    let sum = 0;
    for (let i = 0; i < tasks; i++) {
      const x = vectors[i]![at]!;
      own[i] = scaled(Math.abs(x), clips[i]!.low, clips[i]!.high);
      sum = f(sum + Math.sign(x) * own[i]!);
    }
    for (let i = 0; i < tasks; i++) {
      const within = f(Math.exp(f(tasks * f(own[i]! * own[i]!))));
      const between = f(Math.tanh(f(vectors[i]![at]! * sum)));
      vectors[i]![at] = within * between;
    }
  }
}

function addBalanced(block: Block, { models }: Settings<unknown, { weight: number }>): 0 {
  const { kernels, base, out, n, found } = block;
  const clips = clipsOf(found);
  const bounds = marksOf(found, 1).map(([low, high]) => ({ low: low!.value, high: high!.value }));
  const vectors = vectorsOf(block);
  const clipped = vectors.map((vector) => vector.slice());
  writeBalances(block);
  const sums = kernels.floats(out, n);
  for (let at = 0; at < n; at++) {
    let sum = 0;
    let total = 0;
    for (let i = 0; i < vectors.length; i++) {
      const x = clipped[i]![at]!;
      const share = scaled(vectors[i]![at]!, bounds[i]!.low, bounds[i]!.high);
      const size = Math.min(Math.max(Math.abs(x), clips[i]!.low), clips[i]!.high);
      sum = f(sum + f(f(f(models[i]!.weight) * f(Math.sign(x) * size)) * share));
      total = f(total + share);
    }
    sums[at] = sum / Math.max(total, f(1e-12));
  }
  kernels.ops.addScaled(base!, out, 1, out, n);
  return 0;
}
