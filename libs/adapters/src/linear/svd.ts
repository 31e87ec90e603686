import { dot, identity, type Vectors } from './vectors.js';

export interface Svd {
  /** Left singular vectors: u[k][i]. */
  u: Vectors;
  /** Largest first. */
  s: Float64Array;
  /** Right singular vectors: v[k][j]. */
  v: Vectors;
}

const PRECISION = 1e-15;
/** Six to ten do; more are needed by no matrix. */
const MOST_SWEEPS = 60;

/**
 * Singular values of a small square matrix, given by rows, which it overwrites: W = Σ s[k] · u[k] v[k]ᵀ. One-sided Jacobi: rows are
 * rotated in pairs until all are orthogonal, which finds small singular values to full relative precision. Where s[k] is 0, u[k] is
 * still a unit vector, and v[k] zero.
 */
export function svd(rows: Vectors): Svd {
  const count = rows.length;
  const turned = identity(count);
  for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
    if (!rotateAll(rows, turned)) break;
  }
  const sizes = rows.map((row) => Math.sqrt(dot(row, row)));
  const order = sizes.map((_, k) => k).sort((a, b) => (sizes[b] as number) - (sizes[a] as number) || a - b);
  for (const [k, row] of rows.entries()) {
    const size = sizes[k] as number;
    if (size > 0) for (let j = 0; j < row.length; j++) row[j] = (row[j] as number) / size;
  }
  return {
    u: order.map((k) => turned[k] as Float64Array),
    s: Float64Array.from(order, (k) => sizes[k] as number),
    v: order.map((k) => rows[k] as Float64Array),
  };
}

/** One sweep over all pairs; false when no pair needed a rotation. */
function rotateAll(rows: Vectors, turned: Vectors): boolean {
  let rotated = false;
  for (let i = 0; i < rows.length - 1; i++) {
    for (let j = i + 1; j < rows.length; j++) {
      const [a, b] = [rows[i] as Float64Array, rows[j] as Float64Array];
      const [aa, bb, ab] = [dot(a, a), dot(b, b), dot(a, b)];
      if (Math.abs(ab) <= PRECISION * Math.sqrt(aa * bb) || ab === 0) continue;
      rotated = true;
      const zeta = (bb - aa) / (2 * ab);
      const t = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
      const c = 1 / Math.hypot(1, t);
      rotate(a, b, c, c * t);
      rotate(turned[i] as Float64Array, turned[j] as Float64Array, c, c * t);
    }
  }
  return rotated;
}

function rotate(a: Float64Array, b: Float64Array, c: number, s: number): void {
  for (let k = 0; k < a.length; k++) {
    const [x, y] = [a[k] as number, b[k] as number];
    a[k] = c * x - s * y;
    b[k] = s * x + c * y;
  }
}
