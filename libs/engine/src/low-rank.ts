import { dtypeBytes } from '@amalgam/contracts';
import type { Kernels, Pointer } from '@amalgam/kernels';
import type { Files } from './files.js';
import type { JobStored } from './job.js';
import type { LowRank } from './source.js';

/** Columns of a panel: one panel of the right factor and the rows that are made with it stay in the processor's cache. */
const PANEL = 512;
/** Rows that are made at a time. */
const ROWS = 16;
/** Elements of a factor that are read at a time, and the bytes of the widest dtype. */
const PIECE = 2 ** 16;
const PIECE_BYTES = PIECE * 8;

/** What a thread needs to make products, besides their factors. */
export const PRODUCT_BYTES = ROWS * PANEL * 4 + PIECE_BYTES + PIECE * 4;

/** The kernels take columns by four. */
function padded(columns: number): number {
  return Math.ceil(columns / 4) * 4;
}

/** Float32 values that both factors of a product take. */
export function factorElements({ rows, columns, rank }: Pick<LowRank<unknown>, 'rows' | 'columns' | 'rank'>): number {
  return padded(rows * rank) + padded(columns) * rank;
}

type Product = LowRank<JobStored>;

/** Both factors in the kernels' memory: left [rows, rank], right in panels of columns, each [rank, its columns]. */
interface Loaded {
  left: Pointer;
  right: Pointer;
}

/** Makes products of low rank; holds the factors of one tensor's products at a time. */
export class Products {
  readonly #kernels: Kernels;
  readonly #files: Files;
  readonly #arena: Pointer;
  readonly #tile: Pointer;
  readonly #raw: Pointer;
  readonly #wide: Pointer;
  readonly #loaded = new Map<Product, Loaded>();
  #used = 0;

  /** `elements`: factorElements of the products that are wanted together, at most. */
  constructor(kernels: Kernels, files: Files, elements: number) {
    this.#kernels = kernels;
    this.#files = files;
    this.#arena = kernels.allocate(elements * 4);
    this.#tile = kernels.allocate(ROWS * PANEL * 4);
    this.#raw = kernels.allocate(PIECE_BYTES);
    this.#wide = kernels.allocate(PIECE * 4);
  }

  /** Forgets the factors of the tensor before. */
  reset(): void {
    this.#loaded.clear();
    this.#used = 0;
  }

  /** Adds `scale` times elements [first, last) of the product to the float32 values at `into`. */
  add(product: Product, first: number, last: number, into: Pointer): void {
    const { columns } = product;
    const factors = this.#loaded.get(product) ?? this.#load(product);
    const end = Math.ceil(last / columns);
    for (let row = Math.floor(first / columns); row < end; ) {
      // A row that is cut is made alone, so that no panel is made in vain.
      const isCut = row * columns < first || (row + 1) * columns > last;
      const count = isCut ? 1 : Math.min(ROWS, Math.floor(last / columns) - row);
      this.#addRows(product, factors, row, count, first, last, into);
      row += count;
    }
  }

  #addRows(
    { columns, rank, scale }: Product,
    { left, right }: Loaded,
    row: number,
    count: number,
    first: number,
    last: number,
    into: Pointer,
  ): void {
    const { ops } = this.#kernels;
    for (let column = 0; column < columns; column += PANEL) {
      const width = Math.min(PANEL, columns - column);
      const [begin, end] = [row * columns + column, (row + count - 1) * columns + column + width];
      if (begin >= last || end <= first) continue;
      const wide = padded(width);
      this.#kernels.floats(this.#tile, count * wide).fill(0);
      ops.addProduct(left + row * rank * 4, right + column * rank * 4, this.#tile, count, rank, wide);
      for (let r = 0; r < count; r++) {
        const at = begin + r * columns;
        const from = Math.max(at, first);
        const n = Math.min(at + width, last) - from;
        const target = into + (from - first) * 4;
        ops.addScaled(target, this.#tile + (r * wide + from - at) * 4, scale, target, n);
      }
    }
  }

  #load(product: Product): Loaded {
    const { rows, columns, rank } = product;
    const left = this.#arena + this.#used * 4;
    const right = left + padded(rows * rank) * 4;
    this.#used += factorElements(product);
    const rowsOf = this.#kernels.floats(left, rows * rank);
    const panels = this.#kernels.floats(right, padded(columns) * rank);
    panels.fill(0);
    const { left: own, right: other } = product;
    this.#forEach(own.source, rows * rank, own.transposed ? rows : rank, (i, j, value) => {
      rowsOf[own.transposed ? j * rank + i : i * rank + j] = value;
    });
    const toPanel = (k: number, column: number) => {
      const panel = column - (column % PANEL);
      return panel * rank + k * padded(Math.min(PANEL, columns - panel)) + column - panel;
    };
    this.#forEach(other.source, columns * rank, other.transposed ? rank : columns, (i, j, value) => {
      panels[other.transposed ? toPanel(j, i) : toPanel(i, j)] = value;
    });
    const loaded = { left, right };
    this.#loaded.set(product, loaded);
    return loaded;
  }

  /** Visits the elements of a stored matrix whose rows have `width` elements. */
  #forEach(
    { input, begin, dtype }: JobStored,
    elements: number,
    width: number,
    visit: (i: number, j: number, value: number) => void,
  ): void {
    const bytes = dtypeBytes(dtype);
    const values = this.#kernels.floats(this.#wide, PIECE);
    let [i, j] = [0, 0];
    for (let done = 0; done < elements; done += PIECE) {
      const n = Math.min(PIECE, elements - done);
      this.#files.read(input, this.#kernels.bytes(this.#raw, n * bytes), begin + done * bytes);
      this.#kernels.widen(dtype, this.#raw, this.#wide, n);
      for (let at = 0; at < n; at++) {
        visit(i, j, values[at]!);
        if (++j === width) [i, j] = [i + 1, 0];
      }
    }
  }
}
