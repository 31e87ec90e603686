import { orthonormalise } from './orthonormalise.js';
import { svd } from './svd.js';
import { combine, dot, identity, scale, type Vectors } from './vectors.js';

/** A matrix of low rank: Σ left[k] right[k]ᵀ. */
export interface Product {
  left: Vectors;
  right: Vectors;
}

export interface Truncated extends Product {
  /** Of the product's singular values, those kept; largest first. */
  values: Float64Array;
  /** Share of the product's squared Frobenius norm that stays; 1 for a product that is zero. */
  kept: number;
  /** The product's squared Frobenius norm. */
  squares: number;
}

/**
 * The nearest matrix of rank `rank` to Σ left[k] right[k]ᵀ, whose vectors it overwrites. Exact: the product lies in the spans of its
 * factors, so the singular values of a matrix of rank × rank are all there is to find, and the product itself is never formed. Each
 * side gets the root of the singular values. `leftIsOrthonormal` spares the left side's work; zeros count as orthonormal.
 */
export function truncate({ left, right }: Product, rank: number, leftIsOrthonormal = false): Truncated {
  const rows = left[0]?.length ?? 0;
  const columns = right[0]?.length ?? 0;
  const ql = leftIsOrthonormal ? { q: left, r: identity(left.length) } : orthonormalise(left);
  const qr = orthonormalise(right);
  // Σ left right^T = Ql (Rl Rr^T) Qr^T; both R hold their columns' coefficients by row.
  const core = ql.r.map((a) => Float64Array.from(qr.r, (b) => dot(a, b)));
  const { u, s, v } = svd(core);
  const total = dot(s, s);
  const values = s.slice(0, rank);
  return {
    left: Array.from(values, (value, k) => rooted(ql.q, u[k], value, rows)),
    right: Array.from(values, (value, k) => rooted(qr.q, v[k], value, columns)),
    values,
    kept: total === 0 ? 1 : dot(values, values) / total,
    squares: total,
  };
}

function rooted(q: Vectors, factors: Float64Array | undefined, value: number, length: number): Float64Array {
  const vector = combine(q, factors ?? [], length);
  scale(vector, Math.sqrt(value));
  return vector;
}
