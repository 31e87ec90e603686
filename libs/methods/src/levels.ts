import { escapePointer, type Recipe, type Slice } from '@amalgam/contracts';

/** Where the parameters of a tensor come from: the levels of a recipe, from the nearest to the recipe itself. */

/** One tensor of the result, as far as its parameters go. */
export interface Place {
  /** In the result. */
  name: string;
  /** What is merged: indices into the recipe's models, and the tensor's names there. */
  models: readonly { model: number; name: string }[];
  /** For each of `models` the index of its source in the slice, or of its entry among the module's models; else empty. */
  sources: readonly number[];
  /** Index into the recipe's slices, or into the module's. */
  slice: number | null;
  module: string | null;
  /** Place among the layers of the slice, 0 to 1. */
  t: number;
}

type Parameters = Record<string, unknown>;

export interface Level {
  parameters: Parameters;
  pointer: string;
  /** Only parameters of models can stand here. */
  perModel: boolean;
  /** It holds for some tensors only. */
  local: boolean;
}

export interface Levels {
  all: Level[];
  /** For parameters of the merge, the nearest first. */
  ofTensor(place: Place): Parameters[];
  /** For the parameters of `place.models[i]`. */
  ofModel(place: Place, i: number): Parameters[];
}

export function levelsOf(recipe: Recipe): Levels {
  const top = { parameters: recipe.parameters ?? {}, pointer: '/parameters', perModel: false, local: false };
  const models = recipe.models.map(({ parameters }, i) => ({
    parameters: parameters ?? {},
    pointer: `/models/${i}/parameters`,
    perModel: true,
    local: false,
  }));
  const modules = new Map(Object.entries(recipe.modules ?? {}));
  const around = ({ slice, module }: Place): { near: Parameters[]; slice: Slice | undefined } => {
    const own = module === null ? undefined : modules.get(module);
    const found = slice === null ? undefined : (own?.slices ?? recipe.slices)?.[slice];
    return { near: [found?.parameters, own?.parameters].filter((level) => level !== undefined), slice: found };
  };
  return {
    all: [
      top,
      ...models,
      ...levelsOfSlices(recipe.slices, '/slices'),
      ...[...modules].flatMap(([name, module]) => {
        const at = `/modules/${escapePointer(name)}`;
        return [
          ...level(module.parameters, `${at}/parameters`, false),
          ...(module.models ?? []).flatMap(({ parameters }, i) =>
            level(parameters, `${at}/models/${i}/parameters`, true),
          ),
          ...levelsOfSlices(module.slices, `${at}/slices`),
        ];
      }),
    ],
    ofTensor: (place) => [...around(place).near, top.parameters],
    ofModel: (place, i) => {
      const { near, slice } = around(place);
      const source = place.sources[i];
      const entries = slice?.sources ?? (place.module === null ? undefined : modules.get(place.module)?.models);
      const own = source === undefined ? undefined : entries?.[source]?.parameters;
      const model = models[place.models[i]!.model]!;
      return [...(own === undefined ? [] : [own]), ...near, model.parameters, top.parameters];
    },
  };
}

function levelsOfSlices(slices: readonly Slice[] | undefined, at: string): Level[] {
  return (slices ?? []).flatMap(({ sources, parameters }, i) => [
    ...level(parameters, `${at}/${i}/parameters`, false),
    ...sources.flatMap((source, j) => level(source.parameters, `${at}/${i}/sources/${j}/parameters`, true)),
  ]);
}

function level(parameters: Parameters | undefined, pointer: string, perModel: boolean): Level[] {
  return parameters === undefined ? [] : [{ parameters, pointer, perModel, local: true }];
}
