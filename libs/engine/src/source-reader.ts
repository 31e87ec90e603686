import { dtypeBytes } from '@amalgam/contracts';
import type { Kernels, Pointer } from '@amalgam/kernels';
import type { Files } from './files.js';
import type { Job, JobSource, JobStored } from './job.js';
import { factorElements, PRODUCT_BYTES, Products } from './low-rank.js';
import { SCALE_BYTES, Scales } from './scales.js';
import { isScaled, type LowRank, type PickedRows, productsIn, type Scaled, type SourceOf } from './source.js';

/** Stored values on their way to float32. */
const STAGE_BYTES = 2 ** 20;

/** What a thread needs for tensors that are not simply stored: factors, rows of which a mean is taken, and buffers. */
export function computedBytes<S extends { kind: 'stored' }>(tensors: readonly { sources: SourceOf<S>[] }[]): number {
  const { isComputed, hasProducts, hasScales, elements, row } = needs<S>(tensors);
  const products = hasProducts ? elements * 4 + PRODUCT_BYTES : 0;
  return (isComputed ? row * 4 + STAGE_BYTES : 0) + products + (hasScales ? SCALE_BYTES : 0);
}

/** `elements`: of all factors of one tensor, at most; `row`: of the longest row that may be a mean. */
function needs<S extends { kind: 'stored' }>(tensors: readonly { sources: SourceOf<S>[] }[]) {
  const found = { isComputed: false, hasProducts: false, hasScales: false, elements: 0, row: 0 };
  for (const { sources } of tensors) {
    const products = sources.flatMap((source) => productsIn<S>(source));
    const factors = products.reduce((sum, own) => sum + factorElements(own), 0);
    found.hasProducts ||= products.length > 0;
    found.elements = Math.max(found.elements, factors);
    for (const source of sources) {
      found.isComputed ||= source.kind !== 'stored';
      found.hasScales ||= isScaled<S>(source);
      if (source.kind === 'rows') found.row = Math.max(found.row, source.rowElements);
    }
  }
  return found;
}

/** Reads elements of sources into the kernels' memory: stored ones as their raw bytes, what has to be computed as float32. */
export class SourceReader {
  readonly #kernels: Kernels;
  readonly #files: Files;
  readonly #products: Products | null;
  readonly #scales: Scales | null;
  readonly #stage: Pointer;
  readonly #row: Pointer;
  #tensor = -1;

  constructor(job: Pick<Job, 'tensors' | 'copies'>, kernels: Kernels, files: Files) {
    const copies = job.copies.filter((source) => source !== null);
    const { isComputed, hasProducts, hasScales, elements, row } = needs<JobStored>([
      ...job.tensors.map(sourcesOf),
      ...copies.map((source) => ({ sources: [source] })),
    ]);
    this.#kernels = kernels;
    this.#files = files;
    this.#products = hasProducts ? new Products(kernels, files, elements) : null;
    this.#scales = hasScales ? new Scales(kernels, files) : null;
    this.#stage = isComputed ? kernels.allocate(STAGE_BYTES) : 0;
    this.#row = kernels.allocate(row * 4);
  }

  /**
   * Elements [first, last) of a source, of the dtype that `dtypeOf` says. `tensor`: whose source it is, any number that tells
   * tensors apart; factors are kept while it stays the same.
   */
  read(tensor: number, source: JobSource, first: number, last: number, into: Pointer): void {
    if (tensor !== this.#tensor) {
      this.#products?.reset();
      this.#tensor = tensor;
    }
    if (source.kind === 'stored') this.#readRaw(source, first, last, into);
    else this.#readFloat32(source, first, last, into);
  }

  #readRaw({ input, begin, dtype }: JobStored, first: number, last: number, into: Pointer): void {
    const width = dtypeBytes(dtype);
    this.#files.read(input, this.#kernels.bytes(into, (last - first) * width), begin + first * width);
  }

  #readFloat32(source: JobSource, first: number, last: number, into: Pointer): void {
    if (source.kind === 'low_rank') this.#readProduct(source, first, last, into);
    else if (source.kind === 'rows') this.#readRows(source, first, last, into);
    else if (source.kind === 'scaled') this.#readScaled(source, first, last, into);
    else if (source.dtype === 'F32') this.#readRaw(source, first, last, into);
    else this.#widen(source, first, last, into);
  }

  #widen(source: JobStored, first: number, last: number, into: Pointer): void {
    const step = STAGE_BYTES / dtypeBytes(source.dtype);
    for (let at = first; at < last; at += step) {
      const end = Math.min(last, at + step);
      this.#readRaw(source, at, end, this.#stage);
      this.#kernels.widen(source.dtype, this.#stage, into + (at - first) * 4, end - at);
    }
  }

  #readScaled(source: Scaled<JobStored>, first: number, last: number, into: Pointer): void {
    this.#readFloat32(source.weight, first, last, into);
    this.#scales?.multiply(source, first, last, into);
  }

  #readProduct(source: LowRank<JobStored>, first: number, last: number, into: Pointer): void {
    if (source.base === null) this.#kernels.floats(into, last - first).fill(0);
    else this.#readFloat32(source.base, first, last, into);
    this.#products?.add(source, first, last, into);
  }

  #readRows({ rowElements, of, pick }: PickedRows<JobStored>, first: number, last: number, into: Pointer): void {
    const { ops } = this.#kernels;
    const { starts, begins, inputs, firstRows } = pick;
    for (let run = runOf(starts, Math.floor(first / rowElements)); run < starts.length - 1; run++) {
      const start = starts[run]! * rowElements;
      const from = Math.max(first, start);
      const to = Math.min(last, starts[run + 1]! * rowElements);
      if (from >= last) break;
      const [begin, end] = [begins[run]!, begins[run + 1]!];
      const target = into + (from - first) * 4;
      /** Where element `at` of the result lies in the run's source `s`. */
      const place = (s: number, at: number) => firstRows[s]! * rowElements + at - start;
      if (begin === end) this.#kernels.floats(target, to - from).fill(0);
      else this.#readFloat32(of[inputs[begin]!]!, place(begin, from), place(begin, to), target);
      if (end - begin < 2) continue;
      for (let at = from; at < to; at += rowElements) {
        const n = Math.min(rowElements, to - at);
        const sum = into + (at - first) * 4;
        for (let s = begin + 1; s < end; s++) {
          this.#readFloat32(of[inputs[s]!]!, place(s, at), place(s, at + n), this.#row);
          ops.accumulate(this.#row, 1, sum, n);
        }
        ops.divide(sum, end - begin, sum, n);
      }
    }
  }
}

/** All that one tensor is read from. */
export function sourcesOf<S>({ base, models }: { base: S | null; models: S[] }): { sources: S[] } {
  return { sources: base === null ? models : [base, ...models] };
}

/** The run that a row lies in. */
function runOf(starts: Int32Array, row: number): number {
  let [low, high] = [0, starts.length - 2];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (starts[middle]! <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}
