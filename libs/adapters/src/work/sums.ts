import { AmalgamError, quote } from '@amalgam/contracts';
import { type Truncated, truncate } from '../linear/truncate.js';
import { type Vectors, zeros } from '../linear/vectors.js';
import type { JobModule, JobTerm } from './job.js';
import type { TensorIo } from './tensor-io.js';

/** A module's factors as they are written: A [rank, inner], B [outer, rank], row-major. */
export interface Factors {
  a: Float32Array;
  b: Float32Array;
}

/** The terms' factors side by side, B with their coefficients: Σ coefficient · B A without any loss but B's rounding. */
export function concatenate(io: TensorIo, { rank, inner, outer }: JobModule, terms: JobTerm[]): Factors {
  const a = new Float32Array(rank * inner);
  const b = new Float32Array(outer * rank);
  let from = 0;
  for (const term of terms) {
    io.read(term.a, 0, a.subarray(from * inner, (from + term.rank) * inner));
    const own = io.readAll(term.b);
    for (let i = 0; i < outer; i++) {
      for (let k = 0; k < term.rank; k++) b[i * rank + from + k] = term.coefficient * (own[i * term.rank + k] ?? 0);
    }
    from += term.rank;
  }
  return { a, b };
}

/** A = Σ √|c| Aᵢ, B = Σ ±√|c| Bᵢ: on each term alone that is c · B A. */
export function addFactors(io: TensorIo, { rank, inner, outer }: JobModule, terms: JobTerm[]): Factors {
  const a = new Float32Array(rank * inner);
  const b = new Float32Array(outer * rank);
  for (const { a: ownA, b: ownB, coefficient } of terms) {
    const root = Math.sqrt(Math.abs(coefficient));
    addTo(a, root, io.readAll(ownA));
    addTo(b, Math.sign(coefficient) * root, io.readAll(ownB));
  }
  return { a, b };
}

/** The nearest product of the module's rank to the terms' sum. */
export function truncateSum(io: TensorIo, { module, rank, inner, outer }: JobModule, terms: JobTerm[]): Truncated {
  const left: Vectors = [];
  const right: Vectors = [];
  for (const term of terms) {
    const [a, b] = [io.readAll(term.a), io.readAll(term.b)];
    const columns = zeros(term.rank, outer);
    columns.forEach((column, k) => {
      for (let i = 0; i < outer; i++) column[i] = term.coefficient * (b[i * term.rank + k] ?? 0);
      right.push(Float64Array.from(a.subarray(k * inner, (k + 1) * inner)));
    });
    left.push(...columns);
  }
  refuseNonFinite(left, `the factors of ${quote(module)}`);
  refuseNonFinite(right, `the factors of ${quote(module)}`);
  return truncate({ left, right }, rank);
}

/** Vectors as factors are stored: `a` by rows, `b` by columns. */
export function toFactors(a: Vectors, b: Vectors, { rank, inner, outer }: JobModule): Factors {
  const factors = { a: new Float32Array(rank * inner), b: new Float32Array(outer * rank) };
  a.forEach((row, k) => {
    factors.a.set(row, k * inner);
  });
  b.forEach((column, k) => {
    for (let i = 0; i < outer; i++) factors.b[i * rank + k] = column[i] ?? 0;
  });
  return factors;
}

export function refuseNonFinite(vectors: Vectors, what: string): void {
  if (!vectors.every((vector) => vector.every(Number.isFinite))) {
    throw new AmalgamError('invalid_checkpoint', `${what} hold NaN or infinite values: singular values do not exist`);
  }
}

function addTo(sum: Float32Array, factor: number, values: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + factor * (values[i] ?? 0);
}
