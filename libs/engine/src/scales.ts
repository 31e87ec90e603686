import { dtypeBytes } from '@amalgam/contracts';
import type { Kernels, Pointer } from '@amalgam/kernels';
import type { Files } from './files.js';
import type { JobStored } from './job.js';
import type { Scaled } from './source.js';

/** Scales that are held at a time, and the bytes of the widest dtype. */
const HELD = 2 ** 14;
const RAW_BYTES = HELD * 8;

/** What a thread needs for scales. */
export const SCALE_BYTES = RAW_BYTES + HELD * 4;

/** Multiplies weights with their scales, which are read as the weights come along. */
export class Scales {
  readonly #kernels: Kernels;
  readonly #files: Files;
  readonly #raw: Pointer;
  readonly #values: Pointer;

  constructor(kernels: Kernels, files: Files) {
    this.#kernels = kernels;
    this.#files = files;
    this.#raw = kernels.allocate(RAW_BYTES);
    this.#values = kernels.allocate(HELD * 4);
  }

  /** Gives elements [first, last), as float32 at `into`, the scales of their blocks. */
  multiply(source: Scaled<JobStored>, first: number, last: number, into: Pointer): void {
    const { scale, rows, columns, blockRows, blockColumns } = source;
    const across = Math.ceil(columns / blockColumns);
    const count = Math.ceil(rows / blockRows) * across;
    /** Of the scale of an element. */
    const placeOf = (row: number, column: number) =>
      Math.floor(row / blockRows) * across + Math.floor(column / blockColumns);
    const lastRow = Math.floor((last - 1) / columns);
    const needed = Math.min(count, placeOf(lastRow, columns - 1) + 1);
    let held = { from: 0, to: 0 };
    for (let at = first; at < last; ) {
      const row = Math.floor(at / columns);
      const column = at % columns;
      const place = placeOf(row, column);
      if (place < held.from || place >= held.to) {
        held = { from: place, to: Math.min(needed, place + HELD) };
        this.#read(scale, held.from, held.to);
      }
      // With one scale across, a block is contiguous; else its rows are.
      const end =
        across === 1
          ? (Math.floor(row / blockRows) + 1) * blockRows * columns
          : row * columns + Math.min(columns, (Math.floor(column / blockColumns) + 1) * blockColumns);
      const n = Math.min(last, end) - at;
      const target = into + (at - first) * 4;
      this.#kernels.ops.scale(target, this.#kernels.floats(this.#values, HELD)[place - held.from]!, target, n);
      at += n;
    }
  }

  #read({ input, begin, dtype }: JobStored, from: number, to: number): void {
    const width = dtypeBytes(dtype);
    this.#files.read(input, this.#kernels.bytes(this.#raw, (to - from) * width), begin + from * width);
    this.#kernels.widen(dtype, this.#raw, this.#values, to - from);
  }
}
