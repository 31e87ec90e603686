import { type Kernels, type Pointer, randomStream } from '@amalgam/kernels';
import { BLOCK, type ByChance, type ByRankedChance, type Sparsify } from '@amalgam/methods';
import type { Band, Cut, Job } from './job.js';
import type { ReadBlock } from './span-reader.js';

const STREAM_BYTES = 16;

/** No key is larger. */
const LAST_KEY = 0x7fffffff;

/** How many entries of a block are kept, and the sum of squares of all before. */
interface Kept {
  kept: number;
  squares: number;
}

/** Sets to 0 what a method does not keep of its task vectors, block by block, in place. `byTensor`: null where all is kept. */
export class Sparsifier {
  readonly #job: Job;
  readonly #kernels: Kernels;
  readonly #byTensor: (Sparsify | null)[];
  /** A random byte for each entry of a block. */
  readonly #bytes: Pointer;
  /** The models' random streams for the tensor at hand. */
  readonly #streams: Pointer;
  readonly #kept: Pointer;
  #tensor = -1;

  constructor(job: Job, kernels: Kernels, byTensor: (Sparsify | null)[]) {
    this.#job = job;
    this.#kernels = kernels;
    this.#byTensor = byTensor;
    this.#bytes = kernels.allocate(BLOCK);
    this.#streams = kernels.allocate(STREAM_BYTES * job.models);
    this.#kept = kernels.allocate(4);
  }

  /** One model's part of a block; `band` is what findBands found for the tensor. */
  apply(tensor: number, block: ReadBlock, model: number, band: Band | null): Kept {
    const { ops } = this.#kernels;
    const sparsify = this.#byTensor[tensor]!;
    if (sparsify === null) return { squares: ops.sumSquares(block.at(model), block.n), kept: block.n };
    if (sparsify.by !== 'magnitude') return this.#keepByChance(tensor, block, model, sparsify);
    if (band !== null) return this.#keepBand(block, model, band);
    const squares = ops.keepMarked(block.at(model), block.chances(model), block.n, this.#kept);
    return { squares, kept: this.#kernels.wordAt(this.#kept) };
  }

  #keepByChance(tensor: number, block: ReadBlock, model: number, sparsify: ByChance | ByRankedChance): Kept {
    const { ops } = this.#kernels;
    const { index, n } = block;
    const { seed, rescale } = sparsify;
    const [data, bytes, kept] = [block.at(model), this.#bytes, this.#kept];
    const [low, high] = [index % 2 ** 32, Math.floor(index / 2 ** 32)];
    const stream = this.#draw(tensor, model, seed, block);
    const squares =
      sparsify.by === 'chance'
        ? ops.keepRandom(data, n, bytes, stream, low, high, sparsify.densities[model]!, rescale, kept)
        : ops.keepRandomEach(data, n, bytes, stream, low, high, block.chances(model), rescale, kept);
    return { squares, kept: this.#kernels.wordAt(kept) };
  }

  /**
   * Random bytes of the block's entries, sixteen for each counter of the generator, which wants four counters at once: blocks begin at
   * multiples of 64 entries. Returns the stream.
   */
  #draw(tensor: number, model: number, seed: number, { index, n }: ReadBlock): Pointer {
    if (tensor !== this.#tensor) {
      const { name, models } = this.#job.tensors[tensor]!;
      models.forEach((_, i) => {
        this.#kernels.words(this.#streams + i * STREAM_BYTES, 4).set(randomStream(seed, i, name));
      });
      this.#tensor = tensor;
    }
    const counter = index / 16;
    const stream = this.#streams + model * STREAM_BYTES;
    const words = Math.ceil(n / 4);
    this.#kernels.ops.randomWords(stream, counter % 2 ** 32, Math.floor(counter / 2 ** 32), this.#bytes, words);
    return stream;
  }

  #keepBand({ at, index, n }: ReadBlock, model: number, { inner, outer }: Band): Kept {
    const { ops } = this.#kernels;
    const data = at(model);
    const [innerTies, outerTies] = [tiesIn(inner, index, n), outer === null ? n : tiesIn(outer, index, n)];
    /** Entries [from, to), which no ties end in. */
    const keep = (from: number, to: number): Kept => {
      const innerBar = from < innerTies ? inner.key - 1 : inner.key;
      const outerBar = outer === null ? LAST_KEY : from < outerTies ? outer.key - 1 : outer.key;
      const squares = ops.keepBand(data + from * 4, to - from, innerBar, outerBar, this.#kept);
      return { squares, kept: this.#kernels.wordAt(this.#kept) };
    };
    if (innerTies % n === 0 && outerTies % n === 0) return keep(0, n);
    // In the few blocks where ties end.
    const squares = ops.sumSquares(data, n);
    let kept = 0;
    const ends = [Math.min(innerTies, outerTies), Math.max(innerTies, outerTies), n];
    ends.forEach((end, i) => {
      const from = i === 0 ? 0 : ends[i - 1]!;
      if (end > from) kept += keep(from, end).kept;
    });
    return { squares, kept };
  }
}

/** How many of a block's entries, the first of index `index` in its tensor, lie before a cut if their key is the cut's. */
function tiesIn({ tieEnd }: Cut, index: number, n: number): number {
  return Math.min(Math.max(tieEnd - index, 0), n);
}
