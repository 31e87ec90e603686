import { add, dot, scale, type Vectors, zeros } from './vectors.js';

/** What is left of a vector below this share of it is rounding, not a direction of its own. */
const NOTHING = 1e-14;

/**
 * Orthonormal directions of vectors, which they replace: vector j was Σ r[i][j] · q[i] over i ≤ j. Gram and Schmidt's way, twice, which
 * is as good as orthonormal gets in float64. A vector that depends on those before it becomes zero, with a row of zeros in `r`.
 */
export function orthonormalise(vectors: Vectors): { q: Vectors; r: Vectors } {
  const count = vectors.length;
  const r = zeros(count, count);
  vectors.forEach((vector, j) => {
    const size = Math.sqrt(dot(vector, vector));
    for (let pass = 0; pass < 2; pass++) {
      for (let i = 0; i < j; i++) {
        const q = vectors[i] as Float64Array;
        const along = dot(q, vector);
        if (along === 0) continue;
        add(vector, -along, q);
        const row = r[i] as Float64Array;
        row[j] = (row[j] as number) + along;
      }
    }
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
