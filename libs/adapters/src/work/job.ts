import type { Dtype } from '@amalgam/contracts';
import type { ModuleReport, RangeOptions } from '../plan.js';

/** A tensor of an input. */
export interface Place {
  path: string;
  /** Absolute offset in the file. */
  begin: number;
  dtype: Dtype;
  elements: number;
  /** What messages call it. */
  name: string;
}

export interface JobTerm {
  a: Place;
  b: Place;
  rank: number;
  coefficient: number;
}

export type JobWork =
  | { kind: 'concatenate' | 'truncate' | 'add factors'; terms: JobTerm[] }
  | { kind: 'extract'; base: Place; model: Place; transposed: boolean };

/** A becomes [rank, inner] at offset `a` of the output, B [outer, rank] at `b`. */
export interface JobModule {
  module: string;
  rank: number;
  inner: number;
  outer: number;
  a: number;
  b: number;
  work: JobWork;
}

/** What the threads are told once. */
export interface Job {
  output: string;
  dtype: Dtype;
  modules: JobModule[];
  range: RangeOptions;
  /** Of float32 that a thread may keep of a tensor between its passes, in bytes. */
  cacheBytes: number;
  /** Bytes read and written, added up by all threads. One BigUint64. */
  progress: SharedArrayBuffer;
  /** One Int32: set to 1 to stop soon. */
  stop: SharedArrayBuffer;
}

export type Task =
  | { kind: 'module'; index: number }
  /** Copies bytes as they are. */
  | { kind: 'copy'; path: string; from: number; to: number; bytes: number }
  | { kind: 'digest'; path: string };

export type TaskValue = ModuleReport | string | null;

/** The matrix of model − base that is extracted, as it is stored. */
export function matrixOf(
  { inner, outer }: Pick<JobModule, 'inner' | 'outer'>,
  transposed: boolean,
): { rows: number; columns: number } {
  return transposed ? { rows: inner, columns: outer } : { rows: outer, columns: inner };
}

/** Vectors that a range is found with: the rank and some more, as far as the matrix has so many. */
export function rangeWidth(
  { rank, inner, outer }: Pick<JobModule, 'rank' | 'inner' | 'outer'>,
  { oversampling }: RangeOptions,
): number {
  return Math.min(rank + oversampling, inner, outer);
}

/** Rows of a matrix that are read at a time, a multiple of four where it has as many. */
export function chunkRows(rows: number, columns: number): number {
  const CHUNK_ELEMENTS = 2 ** 20;
  return Math.min(rows, Math.max(4, Math.floor(CHUNK_ELEMENTS / Math.max(1, columns) / 4) * 4));
}

/** The next multiple of four, as kernels want it. */
export function padded(width: number): number {
  return Math.ceil(width / 4) * 4;
}
