import { type Dtype, dtypeBytes } from '@amalgam/contracts';

/** Where a tensor's values come from. `S` is how a stored tensor is named: by file in a plan, by index in a job. */
export type SourceOf<S> = S | LowRank<S> | PickedRows<S>;

/** A tensor as it lies in a file of an input. */
export interface Stored {
  kind: 'stored';
  /** Index into `MergePlan.inputs`: 0 is the base when there is one, then the models, then adapters. */
  input: number;
  file: string;
  /** Absolute offset in the file. */
  begin: number;
  dtype: Dtype;
}

export type Source = SourceOf<Stored>;

/**
 * A matrix [rows, columns] plus a product of low rank: base[i, j] + scale · Σ left[i, k] right[k, j], the sum in float32 with k
 * ascending, then one rounding each for the product with `scale` and the addition.
 */
export interface LowRank<S> {
  kind: 'low_rank';
  /** Null: zeros. */
  base: S | null;
  rows: number;
  columns: number;
  rank: number;
  scale: number;
  /** [rows, rank] */
  left: Factor<S>;
  /** [rank, columns] */
  right: Factor<S>;
}

export interface Factor<S> {
  source: S;
  /** The file has the factor's [i, j] at [j, i]. */
  transposed: boolean;
}

/** Rows of other sources, in another order: an embedding for another vocabulary. */
export interface PickedRows<S> {
  kind: 'rows';
  /** Elements of a row, here and in each of `of`. */
  rowElements: number;
  of: (S | LowRank<S>)[];
  pick: RowPicks;
}

/**
 * Where rows come from, in runs: rows [starts[k], starts[k + 1]) are, element by element, the mean over the run's sources s,
 * begins[k] <= s < begins[k + 1], of the rows of `of[inputs[s]]` that begin with row firstRows[s]. A run without sources is
 * zeros, one with a single source a copy. Means are float32 sums in order of s, divided once.
 */
export interface RowPicks {
  rows: number;
  starts: Int32Array;
  begins: Int32Array;
  inputs: Int32Array;
  firstRows: Int32Array;
}

/** What a source's values arrive as; what is computed is float32. */
export function dtypeOf(source: SourceOf<{ kind: 'stored'; dtype: Dtype }>): Dtype {
  return source.kind === 'stored' ? source.dtype : 'F32';
}

/** Bytes of files that reading the whole of a source takes, about. */
export function readBytes(source: Source, elements: number): number {
  if (source.kind === 'stored') return elements * dtypeBytes(source.dtype);
  if (source.kind === 'rows') return source.of.reduce((most, inner) => Math.max(most, readBytes(inner, elements)), 0);
  const { base, left, right, rows, columns, rank } = source;
  const factors = rows * dtypeBytes(left.source.dtype) + columns * dtypeBytes(right.source.dtype);
  return (base === null ? 0 : elements * dtypeBytes(base.dtype)) + rank * factors;
}

/** Every stored tensor that a source is made of. */
export function storedIn<S extends { kind: 'stored' }>(source: SourceOf<S>): S[] {
  if (source.kind === 'stored') return [source];
  if (source.kind === 'rows') return source.of.flatMap((inner) => storedIn<S>(inner));
  return [...(source.base === null ? [] : [source.base]), source.left.source, source.right.source];
}

/** The same source with its stored tensors named in another way. */
export function mapStored<S extends { kind: 'stored' }, T extends { kind: 'stored' }>(
  source: SourceOf<S>,
  rename: (stored: S) => T,
): SourceOf<T> {
  if (source.kind !== 'rows') return mapPlain<S, T>(source, rename);
  return { ...source, of: source.of.map((inner) => mapPlain<S, T>(inner, rename)) };
}

function mapPlain<S extends { kind: 'stored' }, T extends { kind: 'stored' }>(
  source: S | LowRank<S>,
  rename: (stored: S) => T,
): T | LowRank<T> {
  if (source.kind === 'stored') return rename(source);
  return {
    ...source,
    base: source.base === null ? null : rename(source.base),
    left: { ...source.left, source: rename(source.left.source) },
    right: { ...source.right, source: rename(source.right.source) },
  };
}

/** Every product of low rank that a source is made of. */
export function productsIn<S extends { kind: 'stored' }>(source: SourceOf<S>): LowRank<S>[] {
  if (source.kind === 'low_rank') return [source];
  return source.kind === 'rows' ? source.of.flatMap((inner) => productsIn<S>(inner)) : [];
}
