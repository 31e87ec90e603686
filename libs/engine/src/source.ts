import { type Dtype, dtypeBytes } from '@amalgam/contracts';

/** Where a tensor's values come from. `S` is how a stored tensor is named: by file in a plan, by index in a job. */
export type SourceOf<S> = Plain<S> | LowRank<S> | PickedRows<S>;

/** The numbers of one stored tensor, as they are or in units of a scale. */
export type Plain<S> = S | Scaled<S>;

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
 * A matrix [rows, columns] in units of a scale for each block of it: weight[i, j] · scale[⌊i / blockRows⌋, ⌊j / blockColumns⌋], one
 * product in float32. The scale has ⌈rows / blockRows⌉ rows of ⌈columns / blockColumns⌉ entries.
 */
export interface Scaled<S> {
  kind: 'scaled';
  weight: S;
  scale: S;
  rows: number;
  columns: number;
  blockRows: number;
  blockColumns: number;
}

/**
 * A matrix [rows, columns] plus a product of low rank: base[i, j] + scale · Σ left[i, k] right[k, j], the sum in float32 with k
 * ascending, then one rounding each for the product with `scale` and the addition.
 */
export interface LowRank<S> {
  kind: 'low_rank';
  /** Null: zeros. */
  base: Plain<S> | null;
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
  of: (Plain<S> | LowRank<S>)[];
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
  if (source.kind === 'scaled') return elements * dtypeBytes(source.weight.dtype) + scaleBytes(source);
  if (source.kind === 'rows') return source.of.reduce((most, inner) => Math.max(most, readBytes(inner, elements)), 0);
  const { base, left, right, rows, columns, rank } = source;
  const factors = rows * dtypeBytes(left.source.dtype) + columns * dtypeBytes(right.source.dtype);
  return (base === null ? 0 : readBytes(base, elements)) + rank * factors;
}

function scaleBytes({ scale, rows, columns, blockRows, blockColumns }: Scaled<Stored>): number {
  return Math.ceil(rows / blockRows) * Math.ceil(columns / blockColumns) * dtypeBytes(scale.dtype);
}

/** Every stored tensor that a source is made of. */
export function storedIn<S extends { kind: 'stored' }>(source: SourceOf<S>): S[] {
  if (source.kind === 'stored') return [source];
  if (source.kind === 'scaled') return [source.weight, source.scale];
  if (source.kind === 'rows') return source.of.flatMap((inner) => storedIn<S>(inner));
  return [...(source.base === null ? [] : storedIn<S>(source.base)), source.left.source, source.right.source];
}

/** The same source with its stored tensors named in another way. */
export function mapStored<S extends { kind: 'stored' }, T extends { kind: 'stored' }>(
  source: SourceOf<S>,
  rename: (stored: S) => T,
): SourceOf<T> {
  if (source.kind !== 'rows') return mapMatrix<S, T>(source, rename);
  return { ...source, of: source.of.map((inner) => mapMatrix<S, T>(inner, rename)) };
}

function mapMatrix<S extends { kind: 'stored' }, T extends { kind: 'stored' }>(
  source: Plain<S> | LowRank<S>,
  rename: (stored: S) => T,
): Plain<T> | LowRank<T> {
  if (source.kind !== 'low_rank') return mapPlain<S, T>(source, rename);
  return {
    ...source,
    base: source.base === null ? null : mapPlain<S, T>(source.base, rename),
    left: { ...source.left, source: rename(source.left.source) },
    right: { ...source.right, source: rename(source.right.source) },
  };
}

function mapPlain<S extends { kind: 'stored' }, T extends { kind: 'stored' }>(
  source: Plain<S>,
  rename: (stored: S) => T,
): Plain<T> {
  if (source.kind === 'stored') return rename(source);
  return { ...source, weight: rename(source.weight), scale: rename(source.scale) };
}

/** Is a tensor, or a part of what it is made of, in units of a scale? */
export function isScaled<S extends { kind: 'stored' }>(source: SourceOf<S>): boolean {
  if (source.kind === 'rows') return source.of.some((inner) => isScaled<S>(inner));
  if (source.kind === 'low_rank') return source.base?.kind === 'scaled';
  return source.kind === 'scaled';
}

/** The list of rows of an embedding for another vocabulary; none for other sources. */
export function picksIn<S extends { kind: 'stored' }>(source: SourceOf<S>): RowPicks[] {
  return source.kind === 'rows' ? [source.pick] : [];
}

/** Every product of low rank that a source is made of. */
export function productsIn<S extends { kind: 'stored' }>(source: SourceOf<S>): LowRank<S>[] {
  if (source.kind === 'low_rank') return [source];
  return source.kind === 'rows' ? source.of.flatMap((inner) => productsIn<S>(inner)) : [];
}
