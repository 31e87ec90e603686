/**
 * Inner products of one tensor's inputs, models' values or task vectors, over the whole tensor, in float64 with a fixed order of
 * summation. What methods on norms and angles do stays in the span of the inputs, so this is all that they need of a tensor.
 */
export interface Gram {
  /** Models. */
  size: number;
  dot(i: number, j: number): number;
}

export function norms(gram: Gram): number[] {
  return Array.from({ length: gram.size }, (_, i) => Math.sqrt(gram.dot(i, i)));
}

/** Inner product of two combinations of the inputs, given by their coefficients. */
export function dotOf(gram: Gram, a: number[], b: number[]): number {
  return a.reduce(
    (sum, x, i) => sum + x * b.reduce((row, y, j) => row + (x === 0 || y === 0 ? 0 : y * gram.dot(i, j)), 0),
    0,
  );
}

/** The Gram matrix of the inputs, each divided by its divisor. */
export function divided(gram: Gram, divisors: number[]): Gram {
  return { size: gram.size, dot: (i, j) => gram.dot(i, j) / divisors[i]! / divisors[j]! };
}

export function clamp(x: number, low: number, high: number): number {
  return Math.min(Math.max(x, low), high);
}

/** What spherical interpolation gives two vectors an angle `theta` apart: sin((1 − t)θ) / sin θ and sin(tθ) / sin θ. */
export function sphericalWeights(theta: number, t: number): [number, number] {
  const sine = Math.sin(theta);
  return [Math.sin((1 - t) * theta) / sine, Math.sin(t * theta) / sine];
}
