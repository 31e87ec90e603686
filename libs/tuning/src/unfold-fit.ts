import { type Layout, outputChannels } from './unfold-layout.js';

/**
 * How a batch normalization is folded into the operator before it. With scale s = γ / √(σ² + ε) per output channel,
 * the weight becomes w·s and the bias β + (b − μ)·s.
 */

/** The four tensors of a batch normalization, one number per channel. */
export interface Norm {
  scale: Float32Array;
  shift: Float32Array;
  mean: Float32Array;
  variance: Float32Array;
}

/** Folding rounds each number a few times, by 6e-8 each; what differs by more is another tensor. */
export const TOLERANCE = 1e-5;

/** Defaults of PyTorch, of Keras and TensorFlow, and others that are met. */
const EPSILONS = [1e-5, 1e-3, 1e-6, 1e-4, 1e-2, 1e-8];

/**
 * The factor of each output channel that makes `folded` of `weight`, NaN where the channel is zero in both and any
 * does. Null when there is none.
 */
export function channelFactors(folded: Float32Array, weight: Float32Array, layout: Layout): Float64Array | null {
  const count = outputChannels(layout);
  const products = new Float64Array(count);
  const squares = new Float64Array(count);
  const largest = new Float64Array(count);
  forEachChannel(layout, (channel, begin, end) => {
    for (let i = begin; i < end; i++) {
      products[channel]! += folded[i]! * weight[i]!;
      squares[channel]! += weight[i]! * weight[i]!;
      largest[channel] = Math.max(largest[channel]!, Math.abs(folded[i]!));
    }
  });
  const factors = products.map((product, channel) => product / squares[channel]!);
  let fits = true;
  forEachChannel(layout, (channel, begin, end) => {
    const limit = TOLERANCE * largest[channel]!;
    const factor = squares[channel] === 0 ? 0 : factors[channel]!;
    for (let i = begin; fits && i < end; i++) fits = Math.abs(folded[i]! - weight[i]! * factor) <= limit;
  });
  return fits ? factors : null;
}

/**
 * The ε with which a batch normalization explains the factors and the folded bias, or null. `bias` is the operator's
 * own; null stands for zeros.
 */
export function epsilonOf(
  norm: Norm,
  factors: Float64Array,
  bias: Float32Array | null,
  foldedBias: Float32Array | null,
): number | null {
  const errors = EPSILONS.map((epsilon) => worstError(norm, epsilon, factors, bias, foldedBias));
  const best = Math.min(...errors);
  return best <= TOLERANCE ? EPSILONS[errors.indexOf(best)]! : null;
}

function worstError(
  { scale, shift, mean, variance }: Norm,
  epsilon: number,
  factors: Float64Array,
  bias: Float32Array | null,
  foldedBias: Float32Array | null,
): number {
  let worst = 0;
  for (let i = 0; i < factors.length; i++) {
    const factor = scale[i]! / Math.sqrt(variance[i]! + epsilon);
    const own = bias?.[i] ?? 0;
    const expected = shift[i]! + (own - mean[i]!) * factor;
    // Relative to what was added up: the sum may be far smaller, and its rounding is not.
    const size = Math.abs(shift[i]!) + (Math.abs(own) + Math.abs(mean[i]!)) * Math.abs(factor);
    const factorError = Number.isNaN(factors[i]!) ? 0 : relative(factors[i]! - factor, Math.abs(factor));
    // Math.max lets NaN through, and NaN is no fit.
    worst = Math.max(worst, factorError, relative((foldedBias?.[i] ?? 0) - expected, size));
  }
  return worst;
}

function relative(difference: number, size: number): number {
  return difference === 0 ? 0 : Math.abs(difference) / size;
}

function forEachChannel(
  { outer, channels, inner, groups }: Layout,
  visit: (channel: number, begin: number, end: number) => void,
): void {
  const perGroup = outer / groups;
  for (let row = 0; row < outer; row++) {
    const first = Math.floor(row / perGroup) * channels;
    for (let j = 0; j < channels; j++) {
      const begin = (row * channels + j) * inner;
      visit(first + j, begin, begin + inner);
    }
  }
}
