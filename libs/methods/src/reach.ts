import { quote, type Recipe } from '@amalgam/contracts';
import { levelsOf } from './levels.js';
import { filtersOf, hasGradient } from './varying.js';

/** Whether what varies by tensor reaches any tensor. */

/** A warning for each filter of the recipe that is part of none of these names, of tensors in the result and in the models. */
export function unmatchedFilters(recipe: Recipe, names: Iterable<string>): string[] {
  const all = [...names];
  const found = new Map<string, boolean>();
  const matches = (filter: string) => {
    const known = found.get(filter) ?? all.some((name) => name.includes(filter));
    found.set(filter, known);
    return known;
  };
  return settingsOf(recipe).flatMap(({ setting, pointer }) =>
    filtersOf(setting)
      .filter(({ filter }) => !matches(filter))
      .map((place) => `${pointer}${place.pointer}: no tensor’s name contains ${quote(place.filter)}`),
  );
}

/** JSON pointers of the parameters that are gradients over the layers, which only models with layers have. */
export function gradientsOf(recipe: Recipe): string[] {
  return settingsOf(recipe).flatMap(({ setting, pointer }) => (hasGradient(setting) ? [pointer] : []));
}

function settingsOf(recipe: Recipe): { setting: unknown; pointer: string }[] {
  return levelsOf(recipe).all.flatMap(({ parameters, pointer }) =>
    Object.entries(parameters).map(([name, setting]) => ({ setting, pointer: `${pointer}/${name}` })),
  );
}
