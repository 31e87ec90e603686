import type { Rank } from '@amalgam/methods';
import type { SamplePlace } from './job.js';
import { toRank } from './order.js';

/** How far from the sampled place the true one is looked for first, in standard deviations. */
const DEVIATIONS = 6;

interface SampleOptions {
  /** float32 bits of magnitudes, signs not cleared; with `signed` order keys less 2^31, see signedKeys of the kernels. */
  keys: Uint32Array;
  signed: boolean;
  /** Entries of each run, one behind the other. */
  runs: number[];
  /** The entry that `rank` of the sample lie up to. */
  find(rank: number): SamplePlace;
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
    const { keys, find } = this.#options;
    const size = keys.length;
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
    let count = 0;
    for (const key of this.#options.keys) if (key << 1 !== 0) count++;
    return count;
  }

  /**
   * Standard deviation of how many of the sample lie up to a place: as of independent draws, or where runs differ more than these would,
   * as of independent runs. Neighbours are alike: a row has its own scale, a token that was never seen no change at all.
   */
  #deviation({ key, above, upTo }: SamplePlace, middle: number, share: number, ofNonzero: boolean): number {
    const { keys, signed, runs } = this.#options;
    const bar = signed ? (key ^ 0x80000000) | 0 : key;
    const tied = Math.min(1, Math.max(0, (middle - above) / (upTo - above)));
    let squares = 0;
    let next = 0;
    for (const count of runs) {
      let inside = 0;
      let zeros = 0;
      for (const end = next + count; next < end; next++) {
        const own = signed ? keys[next]! | 0 : keys[next]! & 0x7fffffff;
        if (own > bar) inside++;
        else if (own === bar) inside += tied;
        if (own === 0) zeros++;
      }
      squares += (inside - share * (ofNonzero ? count - zeros : count)) ** 2;
    }
    const part = middle / keys.length;
    return Math.sqrt(Math.max(squares, keys.length * part * (1 - part)));
  }
}
