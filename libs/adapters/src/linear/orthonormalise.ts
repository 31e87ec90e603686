import { dot, scale, type Vectors, zeros } from './vectors.js';

/** What is left of a vector below this share of it is rounding, not a direction of its own. */
const NOTHING = 1e-14;

/**
 * Orthonormal directions of vectors, which they replace: vector j was Σ r[i][j] · q[i] over i ≤ j. Gram and Schmidt's way, twice, which
 * is as good as orthonormal gets in float64; one pass does where the vectors only have to span their space and stay apart. A vector that depends on those before it becomes zero, with a row of zeros in `r`.
 */
export function orthonormalise(vectors: Vectors, passes: 1 | 2 = 2): { q: Vectors; r: Vectors } {
  const count = vectors.length;
  const r = zeros(count, count);
  vectors.forEach((vector, j) => {
    const size = Math.sqrt(dot(vector, vector));
    for (let pass = 0; pass < passes; pass++) project(vectors, j, r);
    const left = Math.sqrt(dot(vector, vector));
    if (left > size * NOTHING) {
      scale(vector, 1 / left);
      (r[j] as Float64Array)[j] = left;
    } else {
      vector.fill(0);
    }
  });
  return { q: vectors, r };
}

/**
 * Takes what vector j has of those before it out of it, and adds how much that was to `r`. Four at a time, so that the vector is
 * gone through half as often as there are others before it.
 */
function project(vectors: Vectors, j: number, r: Vectors): void {
  const vector = vectors[j] as Float64Array;
  // Where there are no four left, zeros stand in.
  const nothing = j % 4 === 0 ? vector : new Float64Array(vector.length);
  for (let i = 0; i < j; i += 4) {
    const [a, b, c, d] = [0, 1, 2, 3].map((k) => (i + k < j ? vectors[i + k] : nothing)) as [
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    let [p, q, s, t] = [0, 0, 0, 0];
    for (let k = 0; k < vector.length; k++) {
      const x = vector[k] as number;
      p += x * (a[k] as number);
      q += x * (b[k] as number);
      s += x * (c[k] as number);
      t += x * (d[k] as number);
    }
    for (let k = 0; k < vector.length; k++) {
      vector[k] =
        (vector[k] as number) -
        (p * (a[k] as number) + q * (b[k] as number) + (s * (c[k] as number) + t * (d[k] as number)));
    }
    for (const [k, along] of [p, q, s, t].entries()) {
      const row = r[i + k];
      if (i + k < j && row !== undefined) row[j] = (row[j] as number) + along;
    }
  }
}
