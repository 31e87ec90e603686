import { readFileSync } from 'node:fs';
import type { Dtype } from '@amalgam/contracts';
import { float8Table } from './float8.js';

// Node has it; TypeScript declares it only together with the whole of the browser.
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: unknown };
};

/** A byte offset into the kernels' memory. */
export type Pointer = number;

/** What the WebAssembly module exports; assembly/*.ts documents each. Sizes `n` count elements. */
interface Exports {
  memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  /** Where free memory begins. */
  heapBase: { readonly value: Pointer };
  storeF32(src: Pointer, dst: Pointer, n: number): void;
  widenBF16(src: Pointer, dst: Pointer, n: number): void;
  narrowBF16(src: Pointer, dst: Pointer, n: number): void;
  widenF16(src: Pointer, dst: Pointer, n: number): void;
  narrowF16(src: Pointer, dst: Pointer, n: number): void;
  widenF64(src: Pointer, dst: Pointer, n: number): void;
  narrowF64(src: Pointer, dst: Pointer, n: number): void;
  widenF8(src: Pointer, dst: Pointer, n: number, table: Pointer): void;
  narrowF8E4M3(src: Pointer, dst: Pointer, n: number): void;
  narrowF8E5M2(src: Pointer, dst: Pointer, n: number): void;
  subtract(a: Pointer, b: Pointer, dst: Pointer, n: number): void;
  subtractBF16(a: Pointer, b: Pointer, dst: Pointer, n: number): void;
  scale(src: Pointer, factor: number, dst: Pointer, n: number): void;
  accumulate(src: Pointer, factor: number, dst: Pointer, n: number): void;
  divide(src: Pointer, divisor: number, dst: Pointer, n: number): void;
  addScaled(base: Pointer, delta: Pointer, factor: number, dst: Pointer, n: number): void;
  limitMagnitude(data: Pointer, limit: number, least: number, n: number): void;
  sumSquares(src: Pointer, n: number): number;
  sumMagnitudes(src: Pointer, n: number): number;
  dot(a: Pointer, b: Pointer, n: number): number;
  countMagnitudes(
    src: Pointer,
    n: number,
    low: number,
    high: number,
    shift: number,
    histogram: Pointer,
    common: number,
  ): number;
  countDifferencesBF16(
    a: Pointer,
    b: Pointer,
    n: number,
    low: number,
    high: number,
    shift: number,
    histogram: Pointer,
    common: number,
  ): number;
  countEqual(src: Pointer, n: number, key: number): number;
  findEqual(src: Pointer, n: number, key: number, nth: number): number;
  keepBand(data: Pointer, n: number, inner: number, outer: number, kept: Pointer): number;
  countOrdered(src: Pointer, n: number, low: number, high: number, shift: number, histogram: Pointer): number;
  countEqualOrdered(src: Pointer, n: number, key: number): number;
  findEqualOrdered(src: Pointer, n: number, key: number, nth: number): number;
  /** Signed, as WebAssembly returns it: `>>> 0` makes it the key. */
  largestOrdered(src: Pointer, n: number): number;
  largestMagnitude(src: Pointer, n: number): number;
  unify(deltas: Pointer, stride: number, count: number, dst: Pointer, n: number): void;
  takeAgreed(data: Pointer, unified: Pointer, n: number): void;
  sumShared(data: Pointer, unified: Pointer, n: number): number;
  packNonzero(src: Pointer, dst: Pointer, n: number): void;
  keepLarger(best: Pointer, candidate: Pointer, n: number): void;
  sumAgreed(
    deltas: Pointer,
    stride: number,
    count: number,
    lambdas: Pointer,
    least: number,
    dst: Pointer,
    n: number,
  ): void;
  electMerge(
    deltas: Pointer,
    stride: number,
    count: number,
    weights: Pointer,
    dst: Pointer,
    n: number,
    mean: boolean,
    byCount: boolean,
  ): number;
  electWeighted(deltas: Pointer, stride: number, count: number, weights: Pointer, dst: Pointer, n: number): number;
  elect(deltas: Pointer, stride: number, count: number, n: number): number;
  countOverlaps(deltas: Pointer, stride: number, count: number, epsilon: number, counts: Pointer, n: number): void;
  mergeOverlaps(
    deltas: Pointer,
    stride: number,
    count: number,
    factors: Pointer,
    epsilon: number,
    dst: Pointer,
    n: number,
  ): void;
  variance(deltas: Pointer, stride: number, count: number, dst: Pointer, n: number): void;
  keepVaried(deltas: Pointer, stride: number, count: number, key: number, ties: number, n: number): void;
  keepWhere(data: Pointer, values: Pointer, n: number, bar: number): void;
  rowImportance(base: Pointer, delta: Pointer, rows: number, c: number, scratch: Pointer, known: Pointer): void;
  balance(deltas: Pointer, stride: number, count: number, table: Pointer, n: number): void;
  mergeBalanced(deltas: Pointer, stride: number, count: number, table: Pointer, dst: Pointer, n: number): void;
  blendEach(
    src: Pointer,
    stride: number,
    factors: Pointer,
    factorStride: number,
    count: number,
    dst: Pointer,
    n: number,
  ): void;
  randomWords(stream: Pointer, low: number, high: number, dst: Pointer, n: number): void;
  keepRandom(
    data: Pointer,
    n: number,
    bytes: Pointer,
    stream: Pointer,
    low: number,
    high: number,
    p: number,
    rescale: boolean,
    kept: Pointer,
  ): number;
  rankTable(table: Pointer, c: number, low: number, high: number): void;
  rankProbabilities(data: Pointer, rows: number, c: number, scratch: Pointer, table: Pointer, dst: Pointer): void;
  markBand(data: Pointer, rows: number, c: number, kept: number, outliers: number, dst: Pointer, known: Pointer): void;
  keepMarked(data: Pointer, marks: Pointer, n: number, kept: Pointer): number;
  findPlace(data: Pointer, n: number, rank: number, signed: boolean, scratch: Pointer, result: Pointer): void;
  countAbove(data: Pointer, n: number, key: number, equals: boolean, signed: boolean): number;
  listMagnitudes(src: Pointer, n: number, low: number, high: number, list: Pointer, first: number): number;
  listDifferencesBF16(
    a: Pointer,
    b: Pointer,
    n: number,
    low: number,
    high: number,
    list: Pointer,
    first: number,
  ): number;
  listOrdered(src: Pointer, n: number, low: number, high: number, list: Pointer, first: number): number;
  signedKeys(src: Pointer, dst: Pointer, n: number): void;
  addProduct(a: Pointer, b: Pointer, c: Pointer, m: number, k: number, n: number): void;
  addProductTransposed(a: Pointer, b: Pointer, c: Pointer, m: number, k: number, n: number): void;
  keepRandomEach(
    data: Pointer,
    n: number,
    bytes: Pointer,
    stream: Pointer,
    low: number,
    high: number,
    probabilities: Pointer,
    rescale: boolean,
    kept: Pointer,
  ): number;
}

const PAGE = 65536;
let compiled: object | undefined;

function compile(): object {
  compiled ??= new WebAssembly.Module(readFileSync(new URL('../wasm/kernels.wasm', import.meta.url)));
  return compiled;
}

type Convert = (src: Pointer, dst: Pointer, n: number) => void;
type Conversions = Partial<Record<Dtype, Convert>>;

/**
 * One instance of the SIMD kernels with a memory of its own; one per thread. Memory is handed out by `allocate` and is freed as a
 * whole by `reset`: a thread lays out its buffers once a job. Views (`bytes`, `floats`, …) are only good until the next `allocate`.
 */
export class Kernels {
  readonly ops: Exports;
  #top: Pointer;
  /** Where `reset` returns to. */
  readonly #bottom: Pointer;
  /** Memory below may have been written to before a reset. */
  #used: Pointer = 0;
  #all = new Uint32Array(0);
  readonly #widen: Conversions;
  readonly #narrow: Conversions;

  constructor() {
    this.ops = new WebAssembly.Instance(compile(), {}).exports as Exports;
    // A null pointer never aliases data.
    this.#top = Math.max(1024, this.ops.heapBase.value);
    const { ops } = this;
    const widenF8 = (dtype: 'F8_E4M3' | 'F8_E5M2'): Convert => {
      const table = this.#table(dtype);
      return (src, dst, n) => ops.widenF8(src, dst, n, table);
    };
    this.#widen = {
      BF16: ops.widenBF16,
      F16: ops.widenF16,
      F32: ops.storeF32,
      F64: ops.widenF64,
      F8_E4M3: widenF8('F8_E4M3'),
      F8_E5M2: widenF8('F8_E5M2'),
    };
    this.#narrow = {
      BF16: ops.narrowBF16,
      F16: ops.narrowF16,
      F32: ops.storeF32,
      F64: ops.narrowF64,
      F8_E4M3: ops.narrowF8E4M3,
      F8_E5M2: ops.narrowF8E5M2,
    };
    this.#bottom = this.#top;
  }

  /** Frees all that was allocated, for another job. Returns the bytes that the memory keeps. */
  reset(): number {
    this.#used = Math.max(this.#used, this.#top);
    this.#top = this.#bottom;
    return this.ops.memory.buffer.byteLength;
  }

  #table(dtype: 'F8_E4M3' | 'F8_E5M2'): Pointer {
    const pointer = this.allocate(1024);
    this.words(pointer, 256).set(float8Table(dtype));
    return pointer;
  }

  /** Reserves zeroed bytes, 64-byte aligned, with 64 spare bytes behind them so that vector tails may be padded. */
  allocate(bytes: number): Pointer {
    const pointer = Math.ceil(this.#top / 64) * 64;
    this.#top = pointer + bytes + 64;
    const missing = this.#top - this.ops.memory.buffer.byteLength;
    if (missing > 0) this.ops.memory.grow(Math.ceil(missing / PAGE));
    if (pointer < this.#used) this.bytes(pointer, Math.min(this.#top, this.#used) - pointer).fill(0);
    return pointer;
  }

  bytes(pointer: Pointer, length: number): Uint8Array {
    return new Uint8Array(this.ops.memory.buffer, pointer, length);
  }

  floats(pointer: Pointer, length: number): Float32Array {
    return new Float32Array(this.ops.memory.buffer, pointer, length);
  }

  words(pointer: Pointer, length: number): Uint32Array {
    return new Uint32Array(this.ops.memory.buffer, pointer, length);
  }

  /** One word: no view is made for it. */
  wordAt(pointer: Pointer): number {
    // A view ends when the memory grows.
    if (this.#all.length === 0) this.#all = new Uint32Array(this.ops.memory.buffer);
    return this.#all[pointer / 4]!;
  }

  /** Raw elements of a floating-point dtype → float32. Exact but for F64. */
  widen(dtype: Dtype, src: Pointer, dst: Pointer, n: number): void {
    conversion(this.#widen, dtype)(src, dst, n);
  }

  /** float32 → raw elements of a floating-point dtype, rounded to nearest even; NaN becomes the dtype's canonical NaN. */
  narrow(dtype: Dtype, src: Pointer, dst: Pointer, n: number): void {
    conversion(this.#narrow, dtype)(src, dst, n);
  }
}

function conversion(conversions: Conversions, dtype: Dtype): Convert {
  const convert = conversions[dtype];
  if (convert === undefined) throw new TypeError(`${dtype} is not a floating-point dtype`);
  return convert;
}
