import type { Dtype } from '@amalgam/contracts';
import type { Found, Rank, Settings } from '@amalgam/methods';
import type { Group, Order, Search } from './order.js';
import type { SourceOf } from './source.js';
import type { VectorDtype, VectorPlace } from './vector-layout.js';

/** What the threads of one merge are told once. Files are indices into `inputs`. */
export interface Job {
  inputs: string[];
  tensors: JobTensor[];
  /** Of what the plan copies, then of its heads: sources whose bytes no file has as they are; null for the others. */
  copies: (JobSource | null)[];
  method: string;
  /** The parameters that tensors are merged with; a tensor's are aligned to its models. */
  settings: Settings[];
  /** By tensor, then model, rounded to float32: what tuned methods merge with. Null for other methods, and before the tuning. */
  coefficients: number[][] | null;
  chunkElements: number;
  /** Output bytes for an element of a chunk, at most. */
  outWidth: number;
  /** Of a tensor, at most. */
  models: number;
  /** Incremented by each thread for each chunk's bytes; a whole merge's progress. One BigUint64. */
  progress: SharedArrayBuffer;
  /** One Int32: set to 1 to stop at the next chunk. */
  stop: SharedArrayBuffer;
}

/** `input`: index into `Job.inputs`. */
export interface JobStored {
  kind: 'stored';
  input: number;
  begin: number;
  dtype: Dtype;
}

export type JobSource = SourceOf<JobStored>;

export interface JobTensor {
  name: string;
  elements: number;
  /** Length of a row: the last dimension; 1 for a scalar. */
  row: number;
  /** What the method keeps of each row, as float64; all threads see the same ones. */
  known: Float64Array | null;
  /** Entries that share the first index: as many columns; 1 for a vector and a scalar. */
  across: number;
  base: JobSource | null;
  models: JobSource[];
  /** Of each of `models`: its index among the recipe's models. */
  columns: number[];
  /** Index into `Job.settings`. */
  settings: number;
  /** Does the method work on task vectors here? Otherwise on the models' values. */
  overVectors: boolean;
  dtype: Dtype;
  /** Offset in the output file. */
  begin: number;
}

/** Elements [start, start + count) of a tensor; `start` is a multiple of the chunk, `count` too, but at the tensor's end. */
export interface Span {
  tensor: number;
  start: number;
  count: number;
}

/** What tasks call models by: the place among a tensor's models, or the index among the recipe's. */
export type Naming = 'place' | 'column';

/** Which of the method's surveys a task works for, and what the ones before it found, by span. */
export interface SurveyTask {
  index: number;
  found: Found[][];
}

/**
 * A range [low, high) of keys (float32 bits without sign, or order keys of libs/kernels for a ranking by value) of one model's task
 * vector or of what a ranking makes of it.
 */
export type Window = { model: number } & (
  | {
      /**
       * Entries are counted into `bins` bins of 2^shift keys: a word each, or where a bin is several keys two, the second of which has the
       * bits in which its keys differ from its first.
       */
      kind: 'counts';
      low: number;
      high: number;
      shift: number;
      bins: number;
      /** A key of the range that is expected often, or -1; it speeds up the count and changes nothing else. */
      common: number;
    }
  /** The entries themselves, `most` of them in a task at most. */
  | { kind: 'list'; low: number; high: number; most: number }
  /** The largest key and how many entries have it. */
  | { kind: 'largest' }
);

/** A place in the order of one model's entries by magnitude, lowest index first among equals, as it falls in one tensor. */
export interface Cut {
  /** The key at this place: larger ones lie before it. */
  key: number;
  /** Of the entries with that key those below this index of the tensor lie before it. */
  tieEnd: number;
}

/** What stays of one model's task vector in one tensor: what lies before `inner`, but not before `outer`. */
export interface Band {
  inner: Cut;
  /** Null: there are no outliers to drop. */
  outer: Cut | null;
}

/** A mask file, and the model whose masks it has. */
export interface MaskOutput {
  path: string;
  model: number;
}

export type Task =
  /** Finds places of a group that one thread searches by itself, see searchGroup: a Place each, or null. */
  | { kind: 'search'; order: Order; group: Group; searches: Search[]; bytes: number }
  /** Looks into each window (null: none to look into), of the task vectors or of a ranking. */
  | {
      kind: 'scan';
      spans: Span[];
      windows: (Window | null)[];
      naming: Naming;
      survey: SurveyTask | null;
      /** Is wanted how many entries are not 0? */
      countsNonzero: boolean;
    }
  /** Finds places in the order of one model's entries in the spans, a sample of `elements` that is small enough to be held, see Sample. */
  | {
      kind: 'sample';
      spans: Span[];
      elements: number;
      model: number;
      naming: Naming;
      ranks: Rank[];
      survey: SurveyTask | null;
    }
  /** Finds the `nth` entry (1-based, in order) of a model whose key equals `key`. */
  | {
      kind: 'locate';
      spans: Span[];
      model: number;
      naming: Naming;
      key: number;
      nth: number;
      survey: SurveyTask | null;
    }
  /** Sums of a survey, chunk by chunk. `bands` as for merge. */
  | { kind: 'sums'; spans: Span[]; survey: SurveyTask; bands: Band[][] | null }
  /** Merges, writes, and gathers statistics. `bands` by span and model, for methods that keep a band of magnitudes;
   * `blends`: by span and model, the coefficients that methods on norms and angles found. */
  | {
      kind: 'merge';
      output: string;
      spans: Span[];
      bands: Band[][] | null;
      blends: number[][] | null;
      /** By span: what the method's surveys found. */
      found: Found[][] | null;
      /** By span: factors of what the method adds to the base; null without modifiers. */
      factors: number[] | null;
      /** For methods that leave masks: what is written beside the result, `begins` by span. Null: nothing. */
      masks: { outputs: MaskOutput[]; begins: number[][] } | null;
    }
  /** By chunk: Σ |Σ τᵢ| of the inputs and Σ |τ| of what the method adds to the base; the rest as for merge. */
  | {
      kind: 'lengths';
      spans: Span[];
      bands: Band[][] | null;
      blends: number[][] | null;
      found: Found[][] | null;
    }
  /** Writes the masks of some models. `begins`: by span and output, where the tensor's mask begins. */
  | {
      kind: 'masks';
      spans: Span[];
      outputs: MaskOutput[];
      begins: number[][];
      found: Found[][];
    }
  /** Inner products of the inputs, chunk by chunk, for methods on norms and angles. */
  | { kind: 'products'; spans: Span[] }
  /** Inner products of the columns of a whole tensor: by pair of models, then column. */
  | { kind: 'columns'; span: Span }
  /** Writes base and task vectors, sparsified and resolved, for a tuning, and gathers statistics. `places` by span. */
  | {
      kind: 'vectors';
      output: string;
      dtype: VectorDtype;
      spans: Span[];
      bands: Band[][] | null;
      places: VectorPlace[];
    }
  /** Copies bytes as they are. */
  | { kind: 'copy'; output: string; pieces: { input: number; from: number; to: number; bytes: number }[] }
  /** Writes elements [from, to) of a tensor that is copied, but computed (`Job.copies`), rounded once; `begin`: of the tensor in the output. */
  | { kind: 'make'; output: string; copy: number; from: number; to: number; dtype: Dtype; begin: number }
  | { kind: 'digest'; path: string };

export interface ScanResult {
  /** By window: keys at or above it. */
  above: number[];
  /** By window: keys of magnitudes that are not 0, where that is wanted. */
  nonzero: number[];
  /**
   * By window: its bins; or its entries, each a key and where it is in the task's spans, one behind the other; or the largest key and its
   * count. Null: no window, or a list that had not enough room.
   */
  words: (Uint32Array | null)[];
}

/** A place in the order of a sample. */
export interface SamplePlace {
  key: number;
  /** Of the entries with that key those below this index of the sample lie before it. */
  end: number;
  /** Entries of larger keys, and of that key or larger ones. */
  above: number;
  upTo: number;
}

export interface SpanStatistics {
  /** By chunk, then model: sum of squares of the task vector (float64). Empty for methods over weights. */
  squares: number[][];
  /** By model: entries that stay when the task vector is sparsified. */
  kept: number[];
  conflicts: number;
}
