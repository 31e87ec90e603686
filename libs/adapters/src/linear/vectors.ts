/**
 * A matrix as its columns or its rows, whichever are long: each contiguous, in float64. Everything here works on these, so that
 * inner loops run over memory in order.
 */
export type Vectors = Float64Array[];

export function zeros(count: number, length: number): Vectors {
  return Array.from({ length: count }, () => new Float64Array(length));
}

export function identity(size: number): Vectors {
  const rows = zeros(size, size);
  rows.forEach((row, i) => {
    row[i] = 1;
  });
  return rows;
}

/** Four sums side by side, which a processor adds up at once. */
export function dot(a: Float64Array, b: Float64Array): number {
  let [p, q, r, s] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 4 <= a.length; i += 4) {
    p += (a[i] as number) * (b[i] as number);
    q += (a[i + 1] as number) * (b[i + 1] as number);
    r += (a[i + 2] as number) * (b[i + 2] as number);
    s += (a[i + 3] as number) * (b[i + 3] as number);
  }
  for (; i < a.length; i++) p += (a[i] as number) * (b[i] as number);
  return p + q + (r + s);
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
