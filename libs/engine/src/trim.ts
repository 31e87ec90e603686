import { keptOf } from '@amalgam/methods';
import type { Band, Job } from './job.js';
import { HISTOGRAM_BYTES } from './memory.js';
import { cutAt, keyToValue, type Order, type Place, type RunTask, type Search, withAllEquals } from './order.js';
import { type Group, rankedGroups } from './ranked-groups.js';
import { GROUPS_AT_ONCE, mapLimited, searchGroup } from './search.js';

/** What is kept by tensor and model, and for a ranking of whole models each model's threshold. */
export interface Bands {
  /** Empty for tensors that keep everything. */
  byTensor: Band[][];
  /** Smallest magnitude kept, by the recipe's models; null when each tensor has its own. */
  thresholds: number[] | null;
}

/** Everything lies up to here, zeros included: there is nothing to search. */
const ALL: Place = withAllEquals(0);

/** A group of so many elements is searched by one thread, which has nothing to tell until it is done: some tens of milliseconds. */
const ONE_THREAD_ELEMENTS = 2 ** 24;
/** For histograms and lists of such a group, out of what a thread has. */
const ONE_THREAD_BYTES = 2 ** 22;

/**
 * Finds the exact thresholds of what each model keeps by magnitude; null for methods that keep nothing so. `oneThread`: elements of a group
 * that one thread searches, at most; what is found does not depend on it.
 */
export async function findBands(job: Job, run: RunTask, oneThread = ONE_THREAD_ELEMENTS): Promise<Bands | null> {
  const groups = rankedGroups(job);
  if (groups.length === 0) return null;
  const byTensor: Band[][] = job.tensors.map(() => []);
  const thresholds: number[] = [];
  const order: Order = { survey: null, signed: false, naming: 'place', found: [], tiesMatter: true };
  const find = async (group: Group, search: (searches: Search[]) => Promise<(Place | null)[]>) => {
    const ends = group.models.map(({ model, density, outliers: share }) => {
      const { kept, outliers } = keptOf(group.elements, density, share);
      return { model, inner: kept + outliers, outer: outliers };
    });
    const searches = ends
      .flatMap(({ model, inner, outer }) => [inner, outer].map((rank) => ({ model, rank })))
      .filter(({ rank }) => rank > 0 && rank < group.elements);
    const places = searches.length === 0 ? [] : await search(searches);
    const placeOf = (model: number, rank: number) =>
      places[searches.findIndex((search) => search.model === model && search.rank === rank)] ?? ALL;
    for (const { model, inner, outer } of ends) {
      const place = { inner: placeOf(model, inner), outer: outer === 0 ? null : placeOf(model, outer) };
      for (const { index } of group.tensors) {
        const at = group.naming === 'place' ? model : job.tensors[index]!.columns.indexOf(model);
        byTensor[index]![at] = { inner: cutAt(place.inner, index), outer: place.outer && cutAt(place.outer, index) };
      }
      if (group.naming === 'column') thresholds[model] = keyToValue(place.inner.key, false);
    }
  };
  // Groups are independent. Large ones, a few at a time to share the memory for histograms, are searched by all threads.
  const large = groups.filter(({ elements }) => elements > oneThread);
  const atOnce = Math.min(large.length, GROUPS_AT_ONCE);
  const searching = mapLimited(large, atOnce, (group) =>
    find(group, (searches) => {
      const own = { ...order, naming: group.naming };
      return searchGroup(job, own, group, searches, HISTOGRAM_BYTES / atOnce, run);
    }),
  );
  const small = groups
    .filter((group) => !large.includes(group))
    .map((group) =>
      find(group, (searches) => {
        const { tensors, elements, naming } = group;
        const own = { ...order, naming };
        return run({ kind: 'search', order: own, group: { tensors, elements }, searches, bytes: ONE_THREAD_BYTES });
      }),
    );
  await Promise.all([searching, ...small]);
  return { byTensor, thresholds: groups.some(({ naming }) => naming === 'column') ? thresholds : null };
}
