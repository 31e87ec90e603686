import { AmalgamError } from '@amalgam/contracts';
import type { Kernels, Pointer } from '@amalgam/kernels';
import type { Block, Ranking } from '@amalgam/methods';
import type { Job, Naming, ScanResult, Span, SurveyTask, Window } from './job.js';
import type { ReadBlock, SpanReader } from './span-reader.js';

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

  scan(spans: Span[], windows: (Window | null)[], naming: Naming, survey: SurveyTask | null): ScanResult {
    const { kernels, reader } = this.#scene;
    const { ops } = kernels;
    const places = this.#histograms(windows);
    const above = windows.map(() => 0);
    spans.forEach((span, at) => {
      const view = this.#view(span, at, survey);
      const columns = windows.map((window) => (window === null ? -1 : this.#placeOf(span, window.model, naming)));
      const isRaw = windows.map(
        (window, i) => window !== null && view.isInput && !window.largest && reader.isRawPair(span, columns[i]!),
      );
      const blockwise = windows.some((window, i) => window !== null && !isRaw[i]);
      reader.forEachChunk(span, view.wanted(columns), (chunk) => {
        windows.forEach((window, i) => {
          if (window === null || !isRaw[i]) return;
          const { low, high, shift, common } = window;
          const pair = chunk.rawPair(columns[i]!);
          above[i]! += ops.countDifferencesBF16(pair.model, pair.base, pair.n, low, high, shift, places[i]!, common);
        });
        if (blockwise) {
          chunk.forEachBlock((block) => {
            const columnAt = view.columns(block);
            windows.forEach((window, i) => {
              if (window === null || isRaw[i]) return;
              above[i]! += this.#count(columnAt(columns[i]!), block.n, window, places[i]!, view.signed);
            });
          });
        }
        this.#scene.advance(chunk.bytesRead);
      });
    });
    return {
      above,
      histograms: windows.map((window, i) => window && kernels.words(places[i]!, window.bins).slice()),
    };
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
          const data = view.columns(block)(column);
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
      /** Magnitudes of the inputs themselves, which the kernels count without a detour. */
      isInput: values === undefined && ranking?.order !== 'value',
      wanted: (columns: number[]) =>
        values === undefined ? models.map((_, i) => columns.includes(i)) : ('all' as const),
      columns: (read: ReadBlock): ((column: number) => Pointer) => {
        if (values === undefined) return (column) => read.at(column);
        const block = this.#scene.toBlock(read, found);
        values(block);
        return ranking?.of === 'all' ? () => block.out : (column) => read.at(column);
      },
    };
  }

  #count(data: Pointer, n: number, window: Window, place: Pointer, signed: boolean): number {
    const { kernels } = this.#scene;
    const { ops } = kernels;
    const { low, high, shift, common } = window;
    if (window.largest) {
      const best = kernels.words(place, 2);
      const key = signed ? ops.largestOrdered(data, n) >>> 0 : ops.largestMagnitude(data, n);
      if (key < best[0]!) return 0;
      const count = signed ? ops.countEqualOrdered(data, n, key) : ops.countEqual(data, n, key);
      best[1] = key === best[0] ? best[1]! + count : count;
      best[0] = key;
      return 0;
    }
    if (signed) return ops.countOrdered(data, n, low, high, shift, place);
    return ops.countMagnitudes(data, n, low, high, shift, place, common);
  }

  /** Zeroed histograms for the windows. */
  #histograms(windows: (Window | null)[]): Pointer[] {
    const { kernels } = this.#scene;
    const words = windows.reduce((sum, window) => sum + (window?.bins ?? 0), 0);
    if (words > this.#area.words) this.#area = { pointer: kernels.allocate(words * 4), words };
    kernels.words(this.#area.pointer, words).fill(0);
    let next = this.#area.pointer;
    return windows.map((window) => {
      const place = next;
      next += (window?.bins ?? 0) * 4;
      return place;
    });
  }
}
