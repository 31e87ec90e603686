import type { Kernels, Pointer } from '@amalgam/kernels';
import type { Job, JobTensor } from './job.js';
import type { RowRule } from './rows.js';

export type ShareRule = Exclude<RowRule, { by: 'rank' }>;

/** Scratch of the methods' kernels for a row of the given length (libs/kernels, assembly/importance.ts). */
const scratchBytes = (row: number) => 16 * (row + 3);

/** Shorter rows are looked at anew each time: to keep a number of each would take a share of the model's size. */
const KEPT_ROW = 64;

/** Bytes for what is kept of whole rows in a chunk. */
const knownBytes = (chunkElements: number, longest: number) => ((chunkElements + 2 * longest) / KEPT_ROW) * 8;

/**
 * What a thread needs besides its buffers for chunks: the rest of the rows at both ends of a chunk, the shares, the base, the scratch, what
 * is kept of the rows.
 */
export function rowBytes(chunkElements: number, longest: number, width: number, models: number): number {
  const shares = (chunkElements + 2 * longest) * (models + 1) * 4;
  return 2 * longest * width + shares + scratchBytes(longest) + knownBytes(chunkElements, longest);
}

/** Rows of a tensor of which a method with `keepsRows` keeps a number. */
export function keptRows(row: number, elements: number): number {
  return row < KEPT_ROW ? 0 : elements / row;
}

/**
 * For methods whose entries get a share of their row: a float32 for each entry and model of a chunk. Rows reach over a chunk's ends, so
 * whole rows are read, at most one more at either end.
 */
export class RowShares {
  readonly #kernels: Kernels;
  readonly #shares: Pointer;
  readonly #base: Pointer;
  readonly #scratch: Pointer;
  readonly #known: Pointer;
  /** Bytes from one model's shares to the next. */
  readonly stride: number;
  /** Entries that a chunk's buffers must have room for, besides the chunk. */
  readonly margin: number;

  /** `seen`: the tensors whose rows are looked at. */
  constructor(job: Job, kernels: Kernels, seen: JobTensor[]) {
    const longest = seen.reduce((most, { row }) => Math.max(most, row), 1);
    this.#kernels = kernels;
    this.margin = 2 * longest;
    this.stride = (job.chunkElements + this.margin) * 4;
    this.#shares = kernels.allocate(this.stride * job.models);
    this.#base = kernels.allocate(this.stride);
    this.#scratch = kernels.allocate(scratchBytes(longest));
    this.#known = kernels.allocate(knownBytes(job.chunkElements, longest));
  }

  /** Where a model's input goes, whole rows of it, and then its shares are: `offset` entries behind the first. */
  at(model: number, offset: number): Pointer {
    return this.#shares + model * this.stride + offset * 4;
  }

  /** Where the base goes, as `at`. */
  baseAt(offset: number): Pointer {
    return this.#base + offset * 4;
  }

  /** Replaces `count` entries of each model's input from `first` on, whole rows, by their shares. */
  fill(tensor: JobTensor, rule: ShareRule, first: number, count: number): void {
    const { row, known } = tensor;
    const rows = count / row;
    if (known !== null) this.#knownOf(rows).set(known.subarray(first / row, first / row + rows));
    rule.fill(
      {
        kernels: this.#kernels,
        rows,
        length: row,
        base: tensor.overVectors ? this.#base : null,
        models: this.#shares,
        stride: this.stride,
        count: tensor.models.length,
        scratch: this.#scratch,
        known: known === null ? null : this.#known,
      },
      tensor.name,
    );
    // Another thread may write the same numbers at the same time.
    known?.set(this.#knownOf(rows), first / row);
  }

  #knownOf(rows: number): Float64Array {
    return new Float64Array(this.#kernels.bytes(this.#known, rows * 8).buffer, this.#known, rows);
  }
}
