import type { Recipe } from '@amalgam/contracts';
import type { ArrangedInputs, Arrangement } from './arrangement.js';

/** Which tensors the result has, and which tensors of the inputs each is made of; from names and configs alone. */
export function arrange(recipe: Recipe, { base, models }: ArrangedInputs): Arrangement {
  const reference = base ?? models[0];
  const tensors = [...(reference?.checkpoint.tensors.keys() ?? [])].map((name) => ({
    name,
    base: base === null ? null : { model: null, name },
    models: recipe.models.map((_, model) => ({ model, name })),
    slice: null,
    module: null,
    sources: [],
    t: 0,
  }));
  return { tensors, config: {}, redundant: [], warnings: [] };
}
