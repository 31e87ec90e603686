import type { SamplePlace, Window } from './job.js';
import { type Group, lastKey, type Order, type Place, placeAt, type RunTask, type Search, toSurvey } from './order.js';
import { countElements, sample } from './spans.js';
import { type Room, toWindow } from './windows.js';

/** The commonest of the sampled keys is common when every so manyth entry of the sample has it, of those where the place may be. */
const COMMON_SHARE = 256;
/**
 * Where a ranking's keys differ more than this they may be too many to be told apart by counting, which then takes another look: each row of
 * derived values may have a scale of its own. What there is room for is listed instead.
 */
const VARIED_SHARE = 16;

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
  const places = new Map<number, SamplePlace[][]>();
  await Promise.all(
    [...new Set(searches.filter((search) => !isFirst(search)).map(({ model }) => model))].map(async (model) => {
      const own = searches.filter((search) => search.model === model && !isFirst(search));
      const ranks = own.map(({ rank }) => rank);
      const { naming } = order;
      const { elements } = group;
      places.set(model, await run<SamplePlace[][]>({ kind: 'sample', spans, elements, model, naming, ranks, survey }));
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
    // Differences of bfloat16 take few values, and round ones more often than others.
    const equals = ({ above, upTo }: SamplePlace) => upTo - above;
    const often = [top, middle, bottom].reduce((most, own) => (equals(own) > equals(most) ? own : most));
    const isCommon = equals(often) * COMMON_SHARE >= bottom.upTo - top.above;
    const common = isCommon && !order.signed ? often.key : -1;
    const expected = entries * 1.25 + 4096;
    const isVaried = equals(often) * VARIED_SHARE < bottom.upTo - top.above;
    const isListed = order.survey !== null && isVaried && expected <= room.entries;
    return toWindow({ model, low, high, entries: expected }, room, isListed ? -1 : common);
  });
}
