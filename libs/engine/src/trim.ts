import { keptOf } from '@amalgam/methods';
import type { Band, Job } from './job.js';
import { HISTOGRAM_BYTES } from './memory.js';
import { keyToValue, type Place, type RunTask } from './order.js';
import { rankedGroups } from './ranked-groups.js';
import { GROUPS_AT_ONCE, mapLimited, searchGroup } from './search.js';

/** What is kept by tensor and model, and for a ranking of whole models each model's threshold. */
export interface Bands {
  /** Empty for tensors that keep everything. */
  byTensor: Band[][];
  /** Smallest magnitude kept, by the recipe's models; null when each tensor has its own. */
  thresholds: number[] | null;
}

/** Everything lies up to here, zeros included: there is nothing to search. */
const ALL: Place = { key: 0, of: () => ({ key: 0, tieEnd: Number.MAX_SAFE_INTEGER }) };

/** Finds the exact thresholds of what each model keeps by magnitude; null for methods that keep nothing so. */
export async function findBands(job: Job, run: RunTask): Promise<Bands | null> {
  const groups = rankedGroups(job);
  if (groups.length === 0) return null;
  const byTensor: Band[][] = job.tensors.map(() => []);
  const thresholds: number[] = [];
  // Groups are independent; a few at a time keep all threads busy and share the memory for histograms.
  const atOnce = Math.min(groups.length, GROUPS_AT_ONCE);
  await mapLimited(groups, atOnce, async (group) => {
    const ends = group.models.map(({ model, density, outliers: share }) => {
      const { kept, outliers } = keptOf(group.elements, density, share);
      return { model, inner: kept + outliers, outer: outliers };
    });
    const searches = ends
      .flatMap(({ model, inner, outer }) => [inner, outer].map((rank) => ({ model, rank })))
      .filter(({ rank }) => rank > 0 && rank < group.elements);
    const order = { survey: null, signed: false, naming: group.naming, found: [], tiesMatter: true };
    const places = await searchGroup(job, order, group, searches, HISTOGRAM_BYTES / atOnce, run);
    const placeOf = (model: number, rank: number) =>
      places[searches.findIndex((search) => search.model === model && search.rank === rank)] ?? ALL;
    for (const { model, inner, outer } of ends) {
      const place = { inner: placeOf(model, inner), outer: outer === 0 ? null : placeOf(model, outer) };
      for (const { index } of group.tensors) {
        const at = group.naming === 'place' ? model : job.tensors[index]!.columns.indexOf(model);
        byTensor[index]![at] = { inner: place.inner.of(index), outer: place.outer?.of(index) ?? null };
      }
      if (group.naming === 'column') thresholds[model] = keyToValue(place.inner.key, false);
    }
  });
  return { byTensor, thresholds: groups.some(({ naming }) => naming === 'column') ? thresholds : null };
}
