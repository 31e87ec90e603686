import type { Kernels, Pointer } from '@amalgam/kernels';
import { BLOCK, type ByMagnitude, type ByRankedChance, keptOf } from '@amalgam/methods';
import type { Job, JobTensor } from './job.js';

/** Scratch of the kernel for a row of the given length, and its table (libs/kernels, assembly/rank.ts). */
const scratchBytes = (row: number) => 4096 + 16 * row;
const tableBytes = (row: number) => 8 * row;

/** What is kept of a model's last row (libs/kernels, assembly/band.ts). */
const KNOWN_BYTES = 16;

/** Entries of a model that are in memory at a time, besides two rows: few enough for the processor's cache. */
const WINDOW = 2 ** 14;

/** What a thread needs besides its buffers for chunks: the rest of the rows at both ends of a chunk, and the windows. */
export function rankedBytes(longest: number, width: number, models: number): number {
  const windows = 2 * (WINDOW + 2 * longest) * models * 4;
  return 2 * longest * width + windows + models * (tableBytes(longest) + KNOWN_BYTES) + scratchBytes(longest);
}

/** Writes `n` entries of every model's task vector, those from `at` on behind the first that was read. */
export type Form = (at: number, n: number) => void;

/**
 * For methods that keep entries by their rank in a row, for certain or by chance: the task vectors of the whole rows that a block touches,
 * and the marks or probabilities of their entries, in a window that goes through a chunk with the blocks. A row is ranked before anything
 * of it may be overwritten.
 */
export class RankedRows {
  readonly #kernels: Kernels;
  readonly #room: number;
  readonly #vectors: Pointer;
  readonly #chances: Pointer;
  readonly #scratch: Pointer;
  /** By model: where the last row's band was. */
  readonly #known: Pointer;
  /** By model: where the table is, and what it was made for. */
  readonly #tables: { at: Pointer; row: number; low: number; high: number }[];
  /** Bytes from one model's entries to the next. */
  readonly stride: number;
  /** Entries that a chunk's buffers must have room for, besides the chunk. */
  readonly margin: number;
  /** Entries that were read for the chunk. */
  #count = 0;
  /** The first entry in the window. */
  #first = 0;
  /** Up to here task vectors are formed. */
  #formed = 0;
  /** By model: up to here rows are ranked. */
  readonly #ranked: number[];

  /** `seen`: the tensors whose rows are looked at. */
  constructor(job: Job, kernels: Kernels, seen: JobTensor[]) {
    const longest = seen.reduce((most, { row }) => Math.max(most, row), 1);
    this.#kernels = kernels;
    this.margin = 2 * longest;
    this.#room = WINDOW + 2 * longest;
    this.stride = this.#room * 4;
    this.#vectors = kernels.allocate(this.stride * job.models);
    this.#chances = kernels.allocate(this.stride * job.models);
    this.#scratch = kernels.allocate(scratchBytes(longest));
    this.#known = kernels.allocate(KNOWN_BYTES * job.models);
    this.#tables = Array.from({ length: job.models }, () => {
      return { at: kernels.allocate(tableBytes(longest)), row: 0, low: 0, high: 0 };
    });
    this.#ranked = this.#tables.map(() => 0);
  }

  /** Where a model's task vector is from the entry `at` on, which is in the window. */
  at(model: number, at: number): Pointer {
    return this.#vectors + model * this.stride + (at - this.#first) * 4;
  }

  #chancesAt(model: number, at: number): Pointer {
    return this.at(model, at) - this.#vectors + this.#chances;
  }

  /** Begins with a chunk for which `count` entries, whole rows, were read. */
  begin(count: number): void {
    this.#count = count;
    this.#first = 0;
    this.#formed = 0;
    this.#ranked.fill(0);
  }

  /** Forms the task vectors of all rows that [at, end) touches, a block behind the one before. */
  reach({ row }: JobTensor, at: number, end: number, form: Form): void {
    const needed = endOfRow(end, row);
    while (this.#formed < needed) {
      const n = Math.min(BLOCK, this.#count - this.#formed);
      if (this.#formed + n - this.#first > this.#room) this.#moveTo(Math.min(this.#formed, startOfRow(at, row)));
      form(this.#formed, n);
      this.#formed += n;
    }
  }

  /** Moves what is known from the entry `first` on to the front of the window. */
  #moveTo(first: number): void {
    const length = (this.#formed - first) * 4;
    this.#ranked.forEach((_, model) => {
      for (const from of [this.at(model, first), this.#chancesAt(model, first)]) {
        const to = from - (first - this.#first) * 4;
        this.#kernels.bytes(to, from - to + length).copyWithin(0, from - to);
      }
    });
    this.#first = first;
  }

  /**
   * Of a model's entries from `at` on, of all rows that [at, end) touches: their probabilities, or for a band of each row a mask, all ones
   * for what stays.
   */
  chances(tensor: JobTensor, sparsify: ByRankedChance | ByMagnitude, model: number, at: number, end: number): Pointer {
    const { row } = tensor;
    const from = Math.max(this.#ranked[model]!, startOfRow(at, row));
    const to = endOfRow(end, row);
    if (from < to) {
      const [src, dst, rows] = [this.at(model, from), this.#chancesAt(model, from), (to - from) / row];
      if (sparsify.by === 'magnitude') {
        this.#mark(tensor, sparsify, model, src, rows, dst);
      } else {
        const table = this.#tableOf(row, sparsify, model);
        this.#kernels.ops.rankProbabilities(src, rows, row, this.#scratch, table, dst);
      }
      this.#ranked[model] = to;
    }
    return this.#chancesAt(model, at);
  }

  #mark(
    { row, elements }: JobTensor,
    { densities, outliers: shares, outliersFirst }: ByMagnitude,
    model: number,
    src: Pointer,
    rows: number,
    dst: Pointer,
  ): void {
    // A scalar is no row that anything could be dropped from.
    const isFree = outliersFirst === true && elements > 1;
    const { kept, outliers } = keptOf(row, densities[model]!, shares[model]!, isFree);
    this.#kernels.ops.markBand(src, rows, row, kept, outliers, dst, this.#known + model * KNOWN_BYTES);
  }

  #tableOf(row: number, { densities, epsilons }: ByRankedChance, model: number): Pointer {
    const density = densities[model]!;
    const isCertain = density === 0 || density === 1;
    const [low, high] = isCertain ? [density, density] : around(density, epsilons[model]!);
    const table = this.#tables[model]!;
    if (table.row !== row || table.low !== low || table.high !== high) {
      this.#kernels.ops.rankTable(table.at, row, low, high);
      Object.assign(table, { row, low, high });
    }
    return table.at;
  }
}

function startOfRow(at: number, row: number): number {
  return Math.floor(at / row) * row;
}

function endOfRow(end: number, row: number): number {
  return Math.ceil(end / row) * row;
}

function around(middle: number, distance: number): [number, number] {
  return [middle - distance, middle + distance];
}
