import type { ArrangedTensor } from '@amalgam/architecture';
import { AmalgamError, escapePointer, quote, type Recipe } from '@amalgam/contracts';
import { gradientsOf, isOverVectors, type MergeMethod, unmatchedFilters } from '@amalgam/methods';
import type { SelectedTensor } from './select.js';

/** @throws AmalgamError `invalid_recipe` for parameters that vary over layers; for models that have none. */
export function refuseGradients(recipe: Recipe): void {
  const detail = `a list of values goes along the layers, and ${quote(recipe.base ?? recipe.models[0]!.model)} has none`;
  refuseAt(gradientsOf(recipe), detail);
}

/** @throws AmalgamError `invalid_recipe` for slices without the base, where the method takes task vectors. */
export function refuseBaseless(recipe: Recipe, method: MergeMethod, arranged: readonly ArrangedTensor[]): void {
  if (recipe.base === undefined || !isOverVectors(method, true)) return;
  const detail = `${method.name} takes task vectors: give the slice the layers of the base, ${quote(recipe.base)}, as one more source`;
  const pointers = arranged.flatMap(({ base, slice, module }) => {
    if (base !== null || slice === null) return [];
    return [`${module === null ? '' : `/modules/${escapePointer(module)}`}/slices/${slice}/sources`];
  });
  refuseAt([...new Set(pointers)], detail);
}

/** @throws AmalgamError `invalid_recipe`, where there is a pointer. */
function refuseAt(pointers: readonly string[], detail: string): void {
  if (pointers.length === 0) return;
  const more = pointers.length > 1 ? ` (and ${pointers.length - 1} more)` : '';
  const errors = pointers.map((pointer) => ({ pointer, detail }));
  throw new AmalgamError('invalid_recipe', `${pointers[0]}: ${detail}${more}`, { errors });
}

/** A warning for each filter that no merged tensor matches, by its name in the result or in a model. */
export function tellUnmatched(recipe: Recipe, merged: readonly SelectedTensor[]): string[] {
  const names = new Set(merged.flatMap(({ name, place }) => [name, ...place.models.map((model) => model.name)]));
  return unmatchedFilters(recipe, names);
}
