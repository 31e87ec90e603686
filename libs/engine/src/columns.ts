import type { Kernels, Pointer } from '@amalgam/kernels';
import { BLOCK } from '@amalgam/methods';
import { pairsOf } from './blends.js';
import type { JobTensor } from './job.js';
import type { ReadBlock } from './span-reader.js';

/** Inner products of each column of a tensor, over which its blocks pass in order. A column's sum is in the order of its entries. */
export class ColumnProducts {
  readonly #kernels: Kernels;
  readonly #across: number;
  readonly #pairs: [number, number][];
  /** By pair, then column. */
  readonly sums: Float64Array;

  constructor(kernels: Kernels, { across, models }: JobTensor) {
    this.#kernels = kernels;
    this.#across = across;
    this.#pairs = pairsOf(models.length);
    this.sums = new Float64Array(this.#pairs.length * across);
  }

  add(block: ReadBlock): void {
    this.#pairs.forEach(([i, j], pair) => {
      const x = this.#kernels.floats(block.at(i), block.n);
      const y = this.#kernels.floats(block.at(j), block.n);
      const sums = this.sums.subarray(pair * this.#across, (pair + 1) * this.#across);
      let column = block.index % this.#across;
      for (let at = 0; at < block.n; at++) {
        sums[column]! += x[at]! * y[at]!;
        column = column + 1 === this.#across ? 0 : column + 1;
      }
    });
  }
}

/** Coefficients of columns, laid out for a block: a float32 for each entry and model. */
export class ColumnShares {
  readonly #kernels: Kernels;
  readonly #shares: Pointer;
  readonly stride = BLOCK * 4;

  constructor(kernels: Kernels, models: number) {
    this.#kernels = kernels;
    this.#shares = kernels.allocate(this.stride * models);
  }

  /** `coefficients`: by model, then column. Returns where the first model's are. */
  fill({ across, models }: JobTensor, coefficients: Float32Array, { index, n }: ReadBlock): Pointer {
    models.forEach((_, model) => {
      const target = this.#kernels.floats(this.#shares + model * this.stride, n);
      const own = coefficients.subarray(model * across, (model + 1) * across);
      let column = index % across;
      for (let at = 0; at < n; at++) {
        target[at] = own[column]!;
        column = column + 1 === across ? 0 : column + 1;
      }
    });
    return this.#shares;
  }
}
