import type { ArrangedTensor } from '@amalgam/architecture';
import { AmalgamError, escapePointer, quote, type Recipe } from '@amalgam/contracts';
import { gradientsOf, isOverVectors, type MergeMethod, unmatchedFilters } from '@amalgam/methods';
import type { SelectedTensor } from './select.js';

/** @throws AmalgamError `invalid_recipe` for parameters that vary over layers; for models that have none. */
export function refuseGradients(recipe: Recipe): void {
  const detail = `a list of values goes along the layers, and ${quote(recipe.base ?? recipe.models[0]!.model)} has none`;
  const errors = gradientsOf(recipe).map((pointer) => ({ pointer, detail }));
  if (errors.length > 0) throw new AmalgamError('invalid_recipe', `${errors[0]!.pointer}: ${detail}`, { errors });
}

/** @throws AmalgamError `invalid_recipe` for slices without the base, where the method takes task vectors. */
export function refuseBaseless(recipe: Recipe, method: MergeMethod, arranged: readonly ArrangedTensor[]): void {
  if (recipe.base === undefined || !isOverVectors(method, true)) return;
  const detail = `${method.name} takes task vectors: give the slice the layers of the base, ${quote(recipe.base)}, as one more source`;
  const pointers = arranged.flatMap(({ base, slice, module }) => {
    if (base !== null || slice === null) return [];
    return [`${module === null ? '' : `/modules/${escapePointer(module)}`}/slices/${slice}/sources`];
  });
  const errors = [...new Set(pointers)].map((pointer) => ({ pointer, detail }));
  if (errors.length > 0) throw new AmalgamError('invalid_recipe', `${errors[0]!.pointer}: ${detail}`, { errors });
}

/** A warning for each filter that no merged tensor matches, by its name in the result or in a model. */
export function tellUnmatched(recipe: Recipe, merged: readonly SelectedTensor[]): string[] {
  const names = new Set(merged.flatMap(({ name, place }) => [name, ...place.models.map((model) => model.name)]));
  return unmatchedFilters(recipe, names);
}
