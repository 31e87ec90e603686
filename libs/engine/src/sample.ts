import type { Rank } from '@amalgam/methods';
import type { SamplePlace } from './job.js';
import { toRank } from './order.js';

/** How far from the sampled place the true one is looked for first, in standard deviations: it lies elsewhere once in many thousand times. */
const DEVIATIONS = 4.5;

interface SampleOptions {
  size: number;
  /** Entries of each run, one behind the other. */
  runs: number[];
  /** The entry that `rank` of the sample lie up to. */
  find(rank: number): SamplePlace;
  /** How many of n entries, the first of index `first`, have larger keys, and how many that key or larger ones. Key null: that of 0. */
  count(first: number, n: number, key: number | null): { above: number; upTo: number };
}

/** Runs of entries that lie spread over those of a group. */
export class Sample {
  readonly #options: SampleOptions;

  constructor(options: SampleOptions) {
    this.#options = options;
  }

  /**
   * The place of a rank among `elements` entries, as the sample has it, between two others that the true one lies between in all
   * probability; the place alone where the sample is all there is, nothing where there is no such place then.
   */
  around(rank: Rank, elements: number): SamplePlace[] {
    const { size, find } = this.#options;
    const ofNonzero = typeof rank !== 'number';
    if (size === elements) {
      const own = toRank(rank, ofNonzero ? this.#countNonzero() : size);
      return own === null ? [] : [find(own)];
    }
    const share = ofNonzero ? rank.shareOfNonzero : rank / elements;
    const middle = share * (ofNonzero ? this.#countNonzero() : size);
    const within = (place: number) => Math.min(size, Math.max(1, Math.round(place)));
    const place = find(within(middle));
    const margin = DEVIATIONS * this.#deviation(place, middle, share, ofNonzero) + 16;
    return [find(within(middle - margin)), place, find(within(middle + margin))];
  }

  #countNonzero(): number {
    const { size } = this.#options;
    return size - this.#countZeros(0, size);
  }

  #countZeros(first: number, n: number): number {
    const { above, upTo } = this.#options.count(first, n, null);
    return upTo - above;
  }

  /**
   * Standard deviation of how many of the sample lie up to a place: as of independent draws, or where runs differ more than these would,
   * as of independent runs. Neighbours are alike: a row has its own scale, a token that was never seen no change at all.
   */
  #deviation({ key, above, upTo }: SamplePlace, middle: number, share: number, ofNonzero: boolean): number {
    const { size, runs, count } = this.#options;
    const tied = Math.min(1, Math.max(0, (middle - above) / (upTo - above)));
    let squares = 0;
    let next = 0;
    for (const length of runs) {
      const own = count(next, length, key);
      const inside = own.above + tied * (own.upTo - own.above);
      squares += (inside - share * (ofNonzero ? length - this.#countZeros(next, length) : length)) ** 2;
      next += length;
    }
    const part = middle / size;
    return Math.sqrt(Math.max(squares, size * part * (1 - part)));
  }
}
