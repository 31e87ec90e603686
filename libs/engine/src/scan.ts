import { AmalgamError } from '@amalgam/contracts';
import type { Kernels, Pointer } from '@amalgam/kernels';
import { BLOCK, type Block, type Rank, type Ranking } from '@amalgam/methods';
import type { Job, Naming, SamplePlace, ScanResult, Span, SurveyTask, Window } from './job.js';
import { keyToValue } from './order.js';
import { Sample } from './sample.js';
import type { ReadBlock, SpanReader } from './span-reader.js';
import { countElements } from './spans.js';
import { wordsOfBin } from './windows.js';

/** What a thread lends to its parts. */
export interface Scene {
  job: Job;
  kernels: Kernels;
  reader: SpanReader;
  /** The ranking at a place of the method's list of surveys, for a tensor's settings. */
  rankingOf(survey: number, tensor: number): Ranking;
  /** A block as methods see it, with what earlier surveys found for its tensor. */
  toBlock(read: ReadBlock, found: SurveyTask['found'][number]): Block;
  /** Called once a chunk. */
  advance(bytes: number): void;
}

/** Counts and finds keys of what is ranked, in a thread: the magnitudes of the inputs, or what a ranking makes of them. */
export class Scanner {
  readonly #scene: Scene;
  #area = { pointer: 0, words: 0 };

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  scan(
    spans: Span[],
    windows: (Window | null)[],
    naming: Naming,
    survey: SurveyTask | null,
    countsNonzero: boolean,
  ): ScanResult {
    const { kernels, reader } = this.#scene;
    const areas = this.#areas(windows);
    const above = windows.map(() => 0);
    const nonzero = windows.map(() => 0);
    let passed = 0;
    spans.forEach((span, at) => {
      const view = this.#view(span, at, survey);
      const columns = windows.map((window) => (window === null ? -1 : this.#placeOf(span, window.model, naming)));
      const isRaw = windows.map(
        (window, i) =>
          window !== null &&
          view.isInput &&
          window.kind !== 'largest' &&
          !countsNonzero &&
          reader.isRawPair(span, columns[i]!),
      );
      const areShares = view.areShares && !countsNonzero;
      const blockwise = !areShares && windows.some((window, i) => window !== null && !isRaw[i]);
      const first = passed - span.start;
      reader.forEachChunk(span, view.wanted(columns), (chunk) => {
        if (isRaw.includes(true)) {
          // Block by block, so that what several windows look at stays in the nearest cache.
          const pairs = columns.map((column, i) => (isRaw[i] ? chunk.rawPair(column) : null));
          for (let at = 0; at < chunk.count; at += BLOCK) {
            const n = Math.min(BLOCK, chunk.count - at);
            windows.forEach((window, i) => {
              const pair = pairs[i];
              if (window === null || !pair) return;
              const [model, base] = [pair.model + at * 2, pair.base + at * 2];
              above[i]! += this.#countRaw(model, base, n, window, areas[i]!, first + chunk.start + at);
            });
          }
        }
        if (areShares) {
          // Nothing else of a block is looked at.
          for (let at = 0; at < chunk.count; at += BLOCK) {
            const n = Math.min(BLOCK, chunk.count - at);
            windows.forEach((window, i) => {
              if (window === null) return;
              const data = present(chunk.shares(columns[i]!)) + at * 4;
              above[i]! += this.#count(data, n, window, areas[i]!, first + chunk.start + at, view.signed);
            });
          }
        }
        if (blockwise) {
          chunk.forEachBlock((block) => {
            const floors = () => this.#floors(windows, columns, areas, view.signed, block.count);
            const columnAt = view.columns(block, countsNonzero ? null : floors);
            windows.forEach((window, i) => {
              if (window === null || isRaw[i]) return;
              const data = columnAt(columns[i]!);
              if (countsNonzero) nonzero[i]! += countNonzero(kernels, data, block.n);
              above[i]! += this.#count(data, block.n, window, areas[i]!, first + block.index, view.signed);
            });
          });
        }
        this.#scene.advance(chunk.bytesRead);
      });
      passed += span.count;
    });
    return { above, nonzero, words: windows.map((window, i) => window && this.#wordsOf(window, areas[i]!)) };
  }

  /** Finds places of a sample, by rank as Sample.around says. */
  sample(
    spans: Span[],
    elements: number,
    model: number,
    ranks: Rank[],
    naming: Naming,
    survey: SurveyTask | null,
  ): SamplePlace[][] {
    const { kernels, reader } = this.#scene;
    const { ops } = kernels;
    const size = countElements(spans);
    const result = this.#room(4 + 2 * size);
    const [keys, scratch] = [result + 16, result + 16 + size * 4];
    let next = keys;
    let signed = false;
    spans.forEach((span, at) => {
      const view = this.#view(span, at, survey);
      const column = this.#placeOf(span, model, naming);
      signed = view.signed;
      reader.forEachChunk(span, view.wanted([column]), (chunk) => {
        chunk.forEachBlock((block) => {
          const data = view.columns(block, null)(column);
          if (signed) ops.signedKeys(data, next, block.n);
          else kernels.words(next, block.n).set(kernels.words(data, block.n));
          next += block.n * 4;
        });
        this.#scene.advance(0);
      });
    });
    // What kernels order by value are order keys less 2^31.
    const flip = signed ? 0x80000000 : 0;
    const find = (rank: number): SamplePlace => {
      ops.findPlace(keys, size, rank, signed, scratch, result);
      const [key, end, above, upTo] = kernels.words(result, 4);
      return { key: (key! ^ flip) >>> 0, end: end!, above: above!, upTo: upTo! };
    };
    const count = (first: number, n: number, key: number | null) => {
      const own = key === null ? 0 : key ^ flip;
      const countAbove = (equals: boolean) => ops.countAbove(keys + first * 4, n, own, equals, signed);
      return { above: countAbove(false), upTo: countAbove(true) };
    };
    const own = new Sample({ size, runs: spans.map(({ count: length }) => length), find, count });
    return ranks.map((rank) => own.around(rank, elements));
  }

  /** Finds the `nth` entry (1-based, in order) of a model whose key equals `key`. */
  locate(spans: Span[], model: number, naming: Naming, key: number, nth: number, survey: SurveyTask | null) {
    const { kernels, reader } = this.#scene;
    const { ops } = kernels;
    let left = nth;
    let found: { tensor: number; tieEnd: number } | undefined;
    for (const [at, span] of spans.entries()) {
      const view = this.#view(span, at, survey);
      const column = this.#placeOf(span, model, naming);
      reader.forEachChunk(span, view.wanted([column]), (chunk) => {
        if (found !== undefined) return;
        chunk.forEachBlock((block) => {
          if (found !== undefined) return;
          const data = view.columns(block, null)(column);
          const here = view.signed ? ops.countEqualOrdered(data, block.n, key) : ops.countEqual(data, block.n, key);
          if (here >= left) {
            const find = view.signed ? ops.findEqualOrdered : ops.findEqual;
            found = { tensor: span.tensor, tieEnd: block.index + find(data, block.n, key, left) };
          }
          left -= here;
        });
        this.#scene.advance(0);
      });
      if (found !== undefined) return found;
    }
    throw new AmalgamError(
      'checkpoint_changed',
      'an input changed while it was merged: entries counted before are gone',
    );
  }

  /** A model's place in a span's tensor. */
  #placeOf({ tensor }: Span, model: number, naming: Naming): number {
    return naming === 'place' ? model : this.#scene.job.tensors[tensor]!.columns.indexOf(model);
  }

  /** How a span's entries are ranked. */
  #view({ tensor }: Span, at: number, survey: SurveyTask | null) {
    const { models } = this.#scene.job.tensors[tensor]!;
    const ranking = survey === null ? null : this.#scene.rankingOf(survey.index, tensor);
    const values = ranking?.values;
    const found = survey?.found[at] ?? [];
    return {
      signed: ranking?.order === 'value',
      areShares: values === 'shares',
      /** Magnitudes of the inputs themselves, which the kernels count without a detour. */
      isInput: values === undefined && ranking?.order !== 'value',
      wanted: (columns: number[]) =>
        values === undefined ? models.map((_, i) => columns.includes(i)) : ('all' as const),
      /** `floors`: as Ranking.values takes them. */
      columns: (read: ReadBlock, floors: (() => number[]) | null): ((column: number) => Pointer) => {
        if (values === undefined) return (column) => read.at(column);
        if (values === 'shares') return (column) => present(read.shares) + column * read.sharesStride;
        const block = this.#scene.toBlock(read, found);
        values(block, floors);
        return ranking?.of === 'all' ? () => block.out : (column) => read.at(column);
      },
    };
  }

  /** By column: below are values that no window counts or lists, which is all of a column without windows. */
  #floors(windows: (Window | null)[], columns: number[], areas: Pointer[], signed: boolean, count: number): number[] {
    const floors = new Array<number>(count).fill(Number.POSITIVE_INFINITY);
    windows.forEach((window, i) => {
      if (window === null) return;
      const column = columns[i]!;
      const low = window.kind === 'largest' ? this.#scene.kernels.words(areas[i]!, 1)[0]! : window.low;
      floors[column] = Math.min(floors[column]!, keyToValue(low, signed));
    });
    return floors;
  }

  /** Entries above the window. `first`: place of the first in the task. */
  #count(data: Pointer, n: number, window: Window, area: Pointer, first: number, signed: boolean): number {
    const { kernels } = this.#scene;
    const { ops } = kernels;
    switch (window.kind) {
      case 'counts': {
        const { low, high, shift, common } = window;
        if (signed) return ops.countOrdered(data, n, low, high, shift, area);
        return ops.countMagnitudes(data, n, low, high, shift, area, common);
      }
      case 'list':
        if (!this.#hasRoom(window.most, area, n)) return 0;
        if (signed) return ops.listOrdered(data, n, window.low, window.high, area, first);
        return ops.listMagnitudes(data, n, window.low, window.high, area, first);
      case 'largest': {
        const best = kernels.words(area, 2);
        const key = signed ? ops.largestOrdered(data, n) >>> 0 : ops.largestMagnitude(data, n);
        if (key < best[0]!) return 0;
        const count = signed ? ops.countEqualOrdered(data, n, key) : ops.countEqual(data, n, key);
        best[1] = key === best[0] ? best[1]! + count : count;
        best[0] = key;
        return 0;
      }
    }
  }

  /** As #count, of the differences of raw bfloat16 values. */
  #countRaw(model: Pointer, base: Pointer, n: number, window: Window, area: Pointer, first: number): number {
    const { ops } = this.#scene.kernels;
    switch (window.kind) {
      case 'counts': {
        const { low, high, shift, common } = window;
        return ops.countDifferencesBF16(model, base, n, low, high, shift, area, common);
      }
      case 'list':
        if (!this.#hasRoom(window.most, area, n)) return 0;
        return ops.listDifferencesBF16(model, base, n, window.low, window.high, area, first);
      case 'largest':
        throw new TypeError('the largest key is looked for among float32 values');
    }
  }

  /** Have `n` more entries room in a list? If not, it is given up. */
  #hasRoom(most: number, area: Pointer, n: number): boolean {
    const length = this.#scene.kernels.words(area, 1);
    if (length[0]! + n > most + BLOCK) length[0] = GIVEN_UP;
    return length[0] !== GIVEN_UP;
  }

  #wordsOf(window: Window, area: Pointer): Uint32Array | null {
    const { kernels } = this.#scene;
    if (window.kind !== 'list') return kernels.words(area, wordsFor(window)).slice();
    const length = kernels.words(area, 1)[0]!;
    return length === GIVEN_UP ? null : kernels.words(area + 4, 2 * length).slice();
  }

  /** Zeroed areas for the windows. */
  #areas(windows: (Window | null)[]): Pointer[] {
    const { kernels } = this.#scene;
    let next = this.#room(windows.reduce((sum, window) => sum + wordsFor(window), 0));
    return windows.map((window) => {
      const area = next;
      // Of a list only the length must be 0.
      kernels.words(area, window?.kind === 'list' ? 1 : wordsFor(window)).fill(0);
      next += wordsFor(window) * 4;
      return area;
    });
  }

  #room(words: number): Pointer {
    if (words > this.#area.words) this.#area = { pointer: this.#scene.kernels.allocate(words * 4), words };
    return this.#area.pointer;
  }
}

function present(shares: Pointer | null): Pointer {
  if (shares === null) throw new TypeError('a ranking of shares is for methods that have some');
  return shares;
}

/** How many magnitudes are not 0. */
function countNonzero({ ops }: Kernels, data: Pointer, n: number): number {
  return ops.countMagnitudes(data, n, 1, 1, 0, 0, -1);
}

/** What a list's length is when it had not enough room. */
const GIVEN_UP = 0xffffffff;

function wordsFor(window: Window | null): number {
  switch (window?.kind) {
    case undefined:
      return 0;
    case 'counts':
      return window.bins * wordsOfBin(window.shift);
    case 'list':
      return 1 + 2 * (window.most + BLOCK);
    case 'largest':
      return 2;
  }
}
