import { type Kernels, type Pointer, randomStream } from '@amalgam/kernels';
import { BLOCK, type Sparsify } from '@amalgam/methods';
import type { Band, Cut, Job } from './job.js';
import type { ReadBlock } from './span-reader.js';

const STREAM_BYTES = 16;

/** Sets to 0 what a method does not keep of its task vectors, block by block, in place. `byTensor`: null where all is kept. */
export class Sparsifier {
  readonly #job: Job;
  readonly #kernels: Kernels;
  readonly #byTensor: (Sparsify | null)[];
  readonly #words: Pointer;
  /** The models' random streams for the tensor at hand. */
  readonly #streams: Pointer;
  #tensor = -1;

  constructor(job: Job, kernels: Kernels, byTensor: (Sparsify | null)[]) {
    this.#job = job;
    this.#kernels = kernels;
    this.#byTensor = byTensor;
    this.#words = kernels.allocate(BLOCK * 4);
    this.#streams = kernels.allocate(STREAM_BYTES * job.models);
  }

  /** One model's part of a block; `band` is what findBands found for the tensor. Returns how many entries stay. */
  apply(tensor: number, block: ReadBlock, model: number, band: Band | null): number {
    const { ops } = this.#kernels;
    const [data, n, sparsify] = [block.at(model), block.n, this.#byTensor[tensor]!];
    if (sparsify === null) return n;
    switch (sparsify.by) {
      case 'magnitude':
        if (band !== null) return this.#keepBand(data, block.index, n, band);
        return ops.keepMarked(data, sharesOf(block, model), n);
      case 'chance': {
        this.#draw(tensor, model, sparsify.seed, block);
        return ops.keepRandom(data, n, this.#words, sparsify.densities[model]!, sparsify.rescale);
      }
      case 'ranked chance':
        this.#draw(tensor, model, sparsify.seed, block);
        return ops.keepRandomEach(data, n, this.#words, sharesOf(block, model), sparsify.rescale);
    }
  }

  /** Random words of the block's entries. Blocks begin at multiples of sixteen entries, as the generator wants it. */
  #draw(tensor: number, model: number, seed: number, { index, n }: ReadBlock): void {
    if (tensor !== this.#tensor) {
      const { name, models } = this.#job.tensors[tensor]!;
      models.forEach((_, i) => {
        this.#kernels.words(this.#streams + i * STREAM_BYTES, 4).set(randomStream(seed, i, name));
      });
      this.#tensor = tensor;
    }
    const counter = index / 4;
    const high = Math.floor(counter / 2 ** 32);
    this.#kernels.ops.randomWords(this.#streams + model * STREAM_BYTES, counter % 2 ** 32, high, this.#words, n);
  }

  #keepBand(data: Pointer, index: number, n: number, { inner, outer }: Band): number {
    const { ops } = this.#kernels;
    const kept = splitAtTies(inner, index, n, (from, count, bar) => ops.trim(data + from * 4, count, bar));
    if (outer === null) return kept;
    return kept - splitAtTies(outer, index, n, (from, count, bar) => ops.dropLargest(data + from * 4, count, bar));
  }
}

/**
 * Runs a kernel that counts keys above a bar over a block whose first entry has index `index` in its tensor: below the cut's
 * `tieEnd` with entries equal to its key, then without them. Rarely both parts are there: only in the one block where the ties end.
 */
function splitAtTies(
  { key, tieEnd }: Cut,
  index: number,
  n: number,
  kernel: (from: number, count: number, bar: number) => number,
): number {
  const ties = Math.min(Math.max(tieEnd - index, 0), n);
  const counted = ties > 0 ? kernel(0, ties, key - 1) : 0;
  return ties < n ? counted + kernel(ties, n - ties, key) : counted;
}

function sharesOf({ shares, sharesStride }: ReadBlock, model: number): Pointer {
  if (shares === null) throw new TypeError('only methods that look at whole rows have shares');
  return shares + model * sharesStride;
}
