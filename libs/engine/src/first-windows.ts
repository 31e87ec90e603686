import type { Rank } from '@amalgam/methods';
import type { SamplePlace, SampleResult, Window } from './job.js';
import {
  type Group,
  lastKey,
  type Order,
  type Place,
  placeAt,
  type RunTask,
  type Search,
  toRank,
  toSurvey,
} from './order.js';
import { countElements, sample } from './spans.js';
import { type Room, toWindow } from './windows.js';

/** How far from the sampled place the true one is looked for first, in standard deviations of independent draws. */
const SAMPLE_DEVIATIONS = 6;

/** A key is common when every so manyth entry of the sample has it, of those where the place may be. */
const COMMON_SHARE = 256;

/** Guesses, from a spread sample, where each search should look. A group that is all in its sample is done; null: there is no such place. */
export async function firstWindows(
  order: Order,
  group: Group,
  searches: Search[],
  room: Room,
  run: RunTask,
): Promise<(Window | Place | null)[]> {
  const spans = sample(group.tensors);
  const size = countElements(spans);
  const isAll = size === group.elements;
  const survey = toSurvey(order, spans);
  // What comes first needs no window, and a derived quantity's first no other look.
  const isFirst = ({ rank }: Search) => !isAll && rank === 1 && order.survey !== null;
  // Deviation of how many of the sample are among a share of all entries.
  const deviation = (share: number) => SAMPLE_DEVIATIONS * Math.sqrt(size * share * (1 - share));
  /** Places of the sample around the wanted one. `nonzero`: how many of the sample are not 0. */
  const toRanks = (rank: Rank, nonzero: number) => {
    if (isAll) {
      const own = toRank(rank, nonzero);
      return own === null ? [] : [own];
    }
    const isShare = typeof rank !== 'number';
    const middle = isShare ? nonzero * rank.shareOfNonzero : (rank / group.elements) * size;
    const doubt = isShare ? rank.shareOfNonzero * deviation(nonzero / size) : 0;
    const margin = deviation(middle / size) + doubt + 16;
    const bounds = [middle - margin, middle, middle + margin];
    return bounds.map((bound) => Math.min(size, Math.max(1, Math.round(bound))));
  };
  const places = new Map<number, SamplePlace[][]>();
  await Promise.all(
    [...new Set(searches.filter((search) => !isFirst(search)).map(({ model }) => model))].map(async (model) => {
      const own = searches.filter((search) => search.model === model && !isFirst(search));
      const { naming } = order;
      const look = (ranks: number[]) => run<SampleResult>({ kind: 'sample', spans, model, naming, ranks, survey });
      const { nonzero } = own.some(({ rank }) => typeof rank !== 'number') ? await look([]) : { nonzero: 0 };
      const ranks = own.map(({ rank }) => toRanks(rank, nonzero));
      const { places: list } = await look(ranks.flat());
      places.set(
        model,
        ranks.map((each) => list.splice(0, each.length)),
      );
    }),
  );
  return searches.map((search): Window | Place | null => {
    const { model } = search;
    if (isFirst(search)) return { kind: 'largest', model };
    const found = places.get(model)!.shift()!;
    if (isAll) return found[0] === undefined ? null : placeAt(found[0].key, spans, found[0].end);
    const [top, middle, bottom] = found as [SamplePlace, SamplePlace, SamplePlace];
    // Beyond the ends of the sample there may be anything.
    const [fromEnd, toEnd] = [top.above === 0, bottom.upTo === size];
    const high = fromEnd ? lastKey(order) : Math.min(lastKey(order), top.key + 1);
    const low = toEnd ? 0 : Math.min(bottom.key, high - 1);
    const entries = (((toEnd ? size : bottom.upTo) - (fromEnd ? 0 : top.above)) / size) * group.elements;
    // Differences of bfloat16 take few values.
    const isCommon = (middle.upTo - middle.above) * COMMON_SHARE >= bottom.upTo - top.above;
    const common = isCommon && !order.signed ? middle.key : -1;
    return toWindow({ model, low, high, entries: entries * 1.25 + 4096 }, room, common);
  });
}
