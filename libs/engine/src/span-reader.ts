import { dtypeBytes } from '@amalgam/contracts';
import { type Kernels, type Pointer, reducePairwise } from '@amalgam/kernels';
import { BLOCK, type ByMagnitude, type ByRankedChance } from '@amalgam/methods';
import type { Files } from './files.js';
import type { Job, JobSource, JobTensor, Span } from './job.js';
import { RankedRows } from './ranked-rows.js';
import { RowShares, type ShareRule } from './row-shares.js';
import { areRanked, type RowRule } from './rows.js';
import { dtypeOf } from './source.js';
import { SourceReader } from './source-reader.js';

/** A block as the reader hands it out: float32, in the kernels' memory. */
export interface ReadBlock {
  n: number;
  /** Index of its first element in the tensor. */
  index: number;
  base: Pointer | null;
  models: Pointer;
  stride: number;
  count: number;
  at(model: number): Pointer;
  /** For methods that look at whole rows: a float32 for each entry of the first model, see RowShares. Null for the others. */
  shares: Pointer | null;
  /** Bytes from one model's shares to the next. */
  sharesStride: number;
  /**
   * For methods that keep entries by their rank in a row: a model's probabilities or marks, to be asked for before its entries change. Others
   * have none.
   */
  chances(model: number): Pointer;
}

function noChances(): never {
  throw new TypeError('only methods that rank whole rows have chances');
}

/** One output of a chunk: `width` bytes an element, in a buffer that begins `from` bytes an element behind the first one's. */
export interface OutArea {
  from: number;
  width: number;
}

export interface Chunk {
  /** Index of its first element in the tensor. */
  start: number;
  count: number;
  bytesRead: number;
  forEachBlock(visit: (block: ReadBlock) => void): void;
  /** Where a block's output bytes go before they are written. */
  outAt(block: ReadBlock, area: OutArea): Pointer;
  outBytes(area: OutArea): Uint8Array;
  /** Where the raw bytes of a model and of the base are. */
  rawPair(model: number): { model: Pointer; base: Pointer };
  /** Where a model's shares are, as in ReadBlock, of the chunk's first entry; null where there are none. */
  shares(model: number): Pointer | null;
}

/**
 * Reads spans chunk by chunk straight into the kernels' memory, and presents them block by block as what the method works on:
 * values, or task vectors.
 */
export class SpanReader {
  readonly #job: Job;
  readonly #kernels: Kernels;
  readonly sources: SourceReader;
  readonly #rules: (RowRule | null)[];
  readonly #rows: RowShares | null;
  readonly #ranked: RankedRows | null;
  /** Raw bytes of a chunk: base, models, output. Each has room for the widest dtype it meets. */
  readonly #rawBase: Pointer;
  readonly #rawModels: Pointer[];
  readonly #rawOut: Pointer;
  readonly #base: Pointer;
  readonly #models: Pointer;
  readonly #stride = BLOCK * 4;

  /** `rules`: what each tensor's rows are looked at for; null: nothing. */
  constructor(job: Job, kernels: Kernels, files: Files, rules: (RowRule | null)[]) {
    this.#job = job;
    this.#kernels = kernels;
    this.sources = new SourceReader(job, kernels, files);
    this.#rules = rules;
    const seen = job.tensors.filter((_, i) => rules[i] !== null);
    this.#rows = seen.length === 0 || areRanked(rules) ? null : new RowShares(job, kernels, seen);
    this.#ranked = areRanked(rules) ? new RankedRows(job, kernels, seen) : null;
    const inputElements = job.chunkElements + (this.#rows?.margin ?? this.#ranked?.margin ?? 0);
    const room = (sources: (JobSource | null)[]) =>
      sources.reduce((most, source) => Math.max(most, source === null ? 0 : dtypeBytes(dtypeOf(source))), 0) *
      inputElements;
    this.#rawBase = kernels.allocate(room(job.tensors.map((tensor) => tensor.base)));
    this.#rawModels = Array.from({ length: job.models }, (_, i) =>
      kernels.allocate(room(job.tensors.map((tensor) => tensor.models[i] ?? null))),
    );
    this.#rawOut = kernels.allocate(job.outWidth * job.chunkElements);
    this.#base = kernels.allocate(this.#stride);
    this.#models = kernels.allocate(this.#stride * job.models);
  }

  reduce(leaves: number[]): number {
    return reducePairwise(leaves);
  }

  /** Are a model and the base both bfloat16, as they mostly are? There are kernels that work on that directly. */
  isRawPair(span: Span, model: number): boolean {
    const tensor = this.#job.tensors[span.tensor]!;
    return tensor.base !== null && dtypeOf(tensor.base) === 'BF16' && dtypeOf(tensor.models[model]!) === 'BF16';
  }

  /** Visits the span's chunks in order. `wanted` says which of the tensor's models are read; the base is when task vectors are. */
  forEachChunk(span: Span, wanted: boolean[] | 'all', visit: (chunk: Chunk) => void): void {
    const end = span.start + span.count;
    for (let start = span.start; start < end; start += this.#job.chunkElements) {
      visit(this.#readChunk(span.tensor, start, Math.min(this.#job.chunkElements, end - start), wanted));
    }
  }

  #readChunk(index: number, start: number, count: number, wanted: boolean[] | 'all'): Chunk {
    const tensor = this.#job.tensors[index]!;
    const reads = (model: number) => wanted === 'all' || wanted[model] === true;
    const rule = this.#rules[index]!;
    const rows = rule === null ? null : this.#rows;
    const row = rule === null ? 1 : tensor.row;
    const [first, last] = [Math.floor(start / row) * row, Math.ceil((start + count) / row) * row];
    let bytesRead = 0;
    const read = (source: JobSource, into: Pointer) => {
      this.sources.read(index, source, first, last, into);
      bytesRead += count * dtypeBytes(dtypeOf(source));
    };
    if (tensor.overVectors) read(tensor.base!, this.#rawBase);
    tensor.models.forEach((source, model) => {
      if (reads(model)) read(source, this.#rawModels[model]!);
    });
    if (rows !== null && rule !== null && rule.by !== 'rank') this.#fillRows(rows, tensor, rule, first, last - first);

    const areaAt = (area: OutArea) => this.#rawOut + area.from * this.#job.chunkElements;
    return {
      start,
      count,
      bytesRead,
      forEachBlock: (visit) => {
        if (rule?.by === 'rank') this.#ranked!.begin(last - first);
        for (let done = 0; done < count; done += BLOCK) {
          const [at, n] = [start - first + done, Math.min(BLOCK, count - done)];
          if (rule?.by === 'rank') visit(this.#rankedBlock(tensor, this.#ranked!, rule.sparsify, first, at, n));
          else visit(this.#prepareBlock(tensor, rows, first, at, n, reads));
        }
      },
      outAt: (block, area) => areaAt(area) + (block.index - start) * area.width,
      outBytes: (area) => this.#kernels.bytes(areaAt(area), count * area.width),
      rawPair: (model) => ({ model: this.#rawModels[model]!, base: this.#rawBase }),
      shares: (model) => rows?.at(model, start - first) ?? null,
    };
  }

  /** Shares of the `count` entries from `first` on, whole rows, that were read of the base and of every model. */
  #fillRows(rows: RowShares, tensor: JobTensor, rule: ShareRule, first: number, count: number): void {
    for (let at = 0; at < count; at += BLOCK) {
      const n = Math.min(BLOCK, count - at);
      const kept = rule.by === 'method' ? rows.baseAt(at) : this.#base;
      const base = tensor.overVectors ? this.#float32(tensor.base!, this.#rawBase, at, n, kept) : null;
      if (base !== null && base !== kept && rule.by === 'method') this.#kernels.ops.scale(base, 1, kept, n);
      tensor.models.forEach((source, model) => {
        const [raw, target] = [this.#rawModels[model]!, rows.at(model, at)];
        if (base !== null) this.#subtract(source, raw, at, n, base, target);
        else this.#widen(source, raw, at, n, target);
      });
    }
    rows.fill(tensor, rule, first, count);
  }

  /** A block of what was read, `at` entries behind the first of it, which has index `first` in the tensor. */
  #prepareBlock(
    tensor: JobTensor,
    rows: RowShares | null,
    first: number,
    at: number,
    n: number,
    reads: (model: number) => boolean,
  ): ReadBlock {
    let base: Pointer | null = null;
    if (tensor.overVectors) base = this.#float32(tensor.base!, this.#rawBase, at, n, this.#base);
    tensor.models.forEach((source, model) => {
      if (!reads(model)) return;
      const target = this.#models + model * this.#stride;
      if (base === null) {
        this.#widen(source, this.#rawModels[model]!, at, n, target);
      } else {
        this.#subtract(source, this.#rawModels[model]!, at, n, base, target);
      }
      // Vector kernels that count must find zeros behind the last element.
      if (n % 4 !== 0) this.#kernels.floats(target + n * 4, 4 - (n % 4)).fill(0);
    });
    const [models, stride] = [this.#models, this.#stride];
    return {
      n,
      index: first + at,
      base,
      models,
      stride,
      count: tensor.models.length,
      at: (model) => models + model * stride,
      shares: rows === null ? null : rows.at(0, at),
      sharesStride: rows === null ? 0 : rows.stride,
      chances: noChances,
    };
  }

  /** As #prepareBlock, of whole rows of task vectors, which are all read. */
  #rankedBlock(
    tensor: JobTensor,
    rows: RankedRows,
    sparsify: ByRankedChance | ByMagnitude,
    first: number,
    at: number,
    n: number,
  ): ReadBlock {
    const end = at + n;
    rows.reach(tensor, at, end, (from, count) => {
      const base = this.#float32(tensor.base!, this.#rawBase, from, count, this.#base);
      tensor.models.forEach((source, model) => {
        this.#subtract(source, this.#rawModels[model]!, from, count, base, rows.at(model, from));
      });
    });
    // Only the last block of a tensor has such an end, and no rows behind it.
    if (n % 4 !== 0) {
      tensor.models.forEach((_, model) => {
        this.#kernels.floats(rows.at(model, end), 4 - (n % 4)).fill(0);
      });
    }
    return {
      n,
      index: first + at,
      base: this.#float32(tensor.base!, this.#rawBase, at, n, this.#base),
      models: rows.at(0, at),
      stride: rows.stride,
      count: tensor.models.length,
      at: (model) => rows.at(model, at),
      shares: null,
      sharesStride: 0,
      chances: (model) => rows.chances(tensor, sparsify, model, at, end),
    };
  }

  #widen(source: JobSource, raw: Pointer, at: number, n: number, target: Pointer): void {
    const dtype = dtypeOf(source);
    this.#kernels.widen(dtype, raw + at * dtypeBytes(dtype), target, n);
  }

  #subtract(source: JobSource, raw: Pointer, at: number, n: number, base: Pointer, target: Pointer): void {
    const { ops } = this.#kernels;
    if (dtypeOf(source) === 'BF16') ops.subtractBF16(raw + at * 2, base, target, n);
    else ops.subtract(this.#float32(source, raw, at, n, target), base, target, n);
  }

  /** float32 values of a raw block: in place when they are float32 already, else widened into `scratch`. */
  #float32(source: JobSource, raw: Pointer, at: number, n: number, scratch: Pointer): Pointer {
    const dtype = dtypeOf(source);
    if (dtype === 'F32') return raw + at * 4;
    this.#kernels.widen(dtype, raw + at * dtypeBytes(dtype), scratch, n);
    return scratch;
  }
}
