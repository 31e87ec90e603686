import { AmalgamError, quote } from '@amalgam/contracts';
import { type Kernels, type Pointer, randomStream } from '@amalgam/kernels';
import { orthonormalise } from '../linear/orthonormalise.js';
import { type Truncated, truncate } from '../linear/truncate.js';
import { dot, type Vectors, zeros } from '../linear/vectors.js';
import { chunkRows, type Job, type JobModule, matrixOf, type Place, padded, rangeWidth } from './job.js';
import type { TensorIo } from './tensor-io.js';

/** Random words that are made at a time. */
const WORDS = 1024;

export interface ExtractWork {
  base: Place;
  model: Place;
  /** As JobWork says. */
  transposed: boolean;
}

export interface Extracted extends Truncated {
  /** ‖model − base‖² */
  squares: number;
}

/**
 * The nearest product of low rank to T = model − base, nearly: the randomised range finder of Halko, Martinsson and Tropp (2011,
 * algorithms 4.4 and 5.1). T is multiplied with a few random vectors of signs, a few times to and fro, and what comes out spans its
 * largest singular directions; in there the search is exact. T streams by rows through float32 products; what is orthogonalised is
 * in float64. The same bytes for any number of threads.
 */
export class Extractor {
  readonly #job: Job;
  readonly #kernels: Kernels;
  readonly #io: TensorIo;
  /** Rows of T, in the kernels' memory. */
  readonly #rows: Pointer;
  /** Those rows' part of what T is multiplied with or makes: [rows, width]. */
  readonly #tall: Pointer;
  /** The other side's: [columns, width]. */
  readonly #wide: Pointer;
  readonly #stream: Pointer;
  readonly #words: Pointer;
  readonly #cache: Float32Array;
  readonly #scratch: Float32Array;

  constructor(job: Job, kernels: Kernels, io: TensorIo) {
    this.#job = job;
    this.#kernels = kernels;
    this.#io = io;
    const sizes = job.modules.flatMap((module) => {
      if (module.work.kind !== 'extract') return [];
      const { rows, columns } = matrixOf(module, module.work.transposed);
      const width = padded(rangeWidth(module, job.range));
      const chunk = chunkRows(rows, columns);
      return [{ rows: chunk * columns, tall: chunk * width, wide: columns * width }];
    });
    const room = (of: (size: { rows: number; tall: number; wide: number }) => number) =>
      kernels.allocate(4 * Math.max(0, ...sizes.map(of)));
    this.#rows = room((size) => size.rows);
    this.#tall = room((size) => size.tall);
    this.#wide = room((size) => size.wide);
    this.#stream = kernels.allocate(16);
    this.#words = kernels.allocate(4 * WORDS);
    this.#cache = new Float32Array(Math.floor(job.cacheBytes / 4));
    this.#scratch = new Float32Array(Math.max(0, ...sizes.map((size) => size.rows)));
  }

  /** `left` is of the rows of the matrix as stored, `right` of its columns. */
  extract(module: JobModule, { base, model, transposed }: ExtractWork): Extracted {
    const matrix: Matrix = { base, model, ...matrixOf(module, transposed), squares: null };
    const width = rangeWidth(module, this.#job.range);
    this.#putSigns(matrix, width);
    let left = this.#multiply(matrix, width);
    const squares = matrix.squares ?? 0;
    if (!Number.isFinite(squares)) {
      throw new AmalgamError(
        'invalid_checkpoint',
        `tensor ${quote(model.name)}: the difference between model and base holds NaN or infinite values, so it has no singular values`,
      );
    }
    for (let iteration = 0; iteration < this.#job.range.powerIterations; iteration++) {
      const right = this.#multiplyTransposed(matrix, orthonormalise(left, 1).q);
      this.#putWide(orthonormalise(right, 1).q);
      left = this.#multiply(matrix, width);
    }
    const { q } = orthonormalise(left);
    const cut = truncate({ left: q, right: this.#multiplyTransposed(matrix, q) }, module.rank, true);
    const kept = squares === 0 ? 1 : dot(cut.values, cut.values) / squares;
    // Above 1 by rounding only.
    return { ...cut, kept: Math.min(1, kept), squares };
  }

  /** Random signs at `wide`: as good as normal numbers for this, and the same on every machine. */
  #putSigns({ columns, model }: Matrix, width: number): void {
    const stride = padded(width);
    const signs = this.#kernels.floats(this.#wide, columns * stride).fill(0);
    this.#kernels.words(this.#stream, 4).set(randomStream(this.#job.range.seed, 0, model.name));
    for (let i = 0; i < columns * width; i++) {
      if (i % (32 * WORDS) === 0) this.#kernels.ops.randomWords(this.#stream, i / 128, 0, this.#words, WORDS);
      const word = this.#kernels.words(this.#words, WORDS)[(i >>> 5) % WORDS] ?? 0;
      signs[Math.floor(i / width) * stride + (i % width)] = (word >>> (i % 32)) & 1 ? 1 : -1;
    }
  }

  #putWide(vectors: Vectors): void {
    const stride = padded(vectors.length);
    const wide = this.#kernels.floats(this.#wide, (vectors[0]?.length ?? 0) * stride).fill(0);
    vectors.forEach((vector, k) => {
      for (let i = 0; i < vector.length; i++) wide[i * stride + k] = vector[i] ?? 0;
    });
  }

  /** T · wide, as `width` vectors. */
  #multiply(matrix: Matrix, width: number): Vectors {
    const { ops } = this.#kernels;
    const stride = padded(width);
    const product = zeros(width, matrix.rows);
    this.#forEachChunk(matrix, (first, count) => {
      const tall = this.#kernels.floats(this.#tall, count * stride).fill(0);
      ops.addProduct(this.#rows, this.#wide, this.#tall, count, matrix.columns, stride);
      product.forEach((vector, k) => {
        for (let i = 0; i < count; i++) vector[first + i] = tall[i * stride + k] ?? 0;
      });
    });
    return product;
  }

  /** Tᵀ · vectors; what lies at `wide` is lost. */
  #multiplyTransposed(matrix: Matrix, vectors: Vectors): Vectors {
    const { ops } = this.#kernels;
    const stride = padded(vectors.length);
    const wide = this.#kernels.floats(this.#wide, matrix.columns * stride).fill(0);
    this.#forEachChunk(matrix, (first, count) => {
      const tall = this.#kernels.floats(this.#tall, count * stride).fill(0);
      vectors.forEach((vector, k) => {
        for (let i = 0; i < count; i++) tall[i * stride + k] = vector[first + i] ?? 0;
      });
      ops.addProductTransposed(this.#rows, this.#tall, this.#wide, count, matrix.columns, stride);
    });
    return vectors.map((_, k) => Float64Array.from({ length: matrix.columns }, (_, j) => wide[j * stride + k] ?? 0));
  }

  /** Puts rows of T at `rows`, a chunk at a time. A tensor that fits the cache is read once. */
  #forEachChunk(matrix: Matrix, visit: (first: number, count: number) => void): void {
    const { rows, columns, base, model } = matrix;
    const isFirst = matrix.squares === null;
    const isCached = rows * columns <= this.#cache.length;
    const step = chunkRows(rows, columns);
    let squares = 0;
    for (let first = 0; first < rows; first += step) {
      const count = Math.min(step, rows - first);
      const [from, n] = [first * columns, count * columns];
      const target = this.#kernels.floats(this.#rows, n);
      if (isFirst || !isCached) {
        const subtrahend = this.#scratch.subarray(0, n);
        this.#io.read(base, from, subtrahend);
        this.#io.read(model, from, target);
        for (let i = 0; i < n; i++) target[i] = (target[i] ?? 0) - (subtrahend[i] ?? 0);
        if (isFirst) squares += this.#kernels.ops.sumSquares(this.#rows, n);
        if (isCached) this.#cache.set(target, from);
      } else {
        target.set(this.#cache.subarray(from, from + n));
        this.#io.pause();
      }
      visit(first, count);
    }
    if (isFirst) matrix.squares = squares;
  }
}

interface Matrix {
  base: Place;
  model: Place;
  rows: number;
  columns: number;
  /** Of its entries, summed; null before it has been read. */
  squares: number | null;
}
