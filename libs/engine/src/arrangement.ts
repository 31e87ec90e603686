import type { InputView } from './views.js';

/** A tensor of the result, and what of the inputs goes into it. */
export interface ArrangedTensor {
  /** In the result. */
  name: string;
  /** Its name in the base; null where there is no base. */
  base: { name: string } | null;
  /** Index among the recipe's models, and the name there. */
  models: { model: number; name: string }[];
  slice: number | null;
  module: string | null;
  /** With slices: the index of each of `models` among its slice's sources. */
  sources: number[];
  /** Position for gradients, 0 to 1. */
  t: number;
}

/** Every tensor of the base, or of the first model, with those of the same name. */
export function arrangeByName(base: InputView | null, models: InputView[]): ArrangedTensor[] {
  const reference = base ?? models[0]!;
  return reference.names().map((name) => ({
    name,
    base: base === null ? null : { name },
    models: models.map((_, model) => ({ model, name })),
    slice: null,
    module: null,
    sources: [],
    t: 0,
  }));
}
