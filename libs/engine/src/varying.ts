import { AmalgamError, quote, type Recipe } from '@amalgam/contracts';
import { gradientsOf, unmatchedFilters } from '@amalgam/methods';
import type { SelectedTensor } from './select.js';

/** @throws AmalgamError `invalid_recipe` for parameters that vary over layers; for models that have none. */
export function refuseGradients(recipe: Recipe): void {
  const detail = `a list of values goes along the layers, and ${quote(recipe.base ?? recipe.models[0]!.model)} has none`;
  const errors = gradientsOf(recipe).map((pointer) => ({ pointer, detail }));
  if (errors.length > 0) throw new AmalgamError('invalid_recipe', `${errors[0]!.pointer}: ${detail}`, { errors });
}

/** A warning for each filter that no merged tensor matches, by its name in the result or in a model. */
export function tellUnmatched(recipe: Recipe, merged: readonly SelectedTensor[]): string[] {
  const names = new Set(merged.flatMap(({ name, place }) => [name, ...place.models.map((model) => model.name)]));
  return unmatchedFilters(recipe, names);
}
