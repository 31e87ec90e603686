/**
 * A matrix as its columns or its rows, whichever are long: each contiguous, in float64. Everything here works on these, so that
 * inner loops run over memory in order.
 */
export type Vectors = Float64Array[];

export function zeros(count: number, length: number): Vectors {
  return Array.from({ length: count }, () => new Float64Array(length));
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/** a ← a + factor · b */
export function add(a: Float64Array, factor: number, b: Float64Array): void {
  for (let i = 0; i < a.length; i++) a[i] = (a[i] as number) + factor * (b[i] as number);
}

export function scale(a: Float64Array, factor: number): void {
  for (let i = 0; i < a.length; i++) a[i] = (a[i] as number) * factor;
}

/** Σ factors[k] · vectors[k] */
export function combine(vectors: Vectors, factors: ArrayLike<number>, length: number): Float64Array {
  const sum = new Float64Array(length);
  vectors.forEach((vector, k) => {
    const factor = factors[k] ?? 0;
    if (factor !== 0) add(sum, factor, vector);
  });
  return sum;
}
