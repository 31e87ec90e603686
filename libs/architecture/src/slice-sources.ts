import { type FieldProblem, findModel, quote, type Recipe, type Slice } from '@amalgam/contracts';
import type { Input, Inputs } from './inputs.js';
import type { Stack } from './stacks.js';

/** A run of layers of an input that goes into a slice. */
export interface SliceSource {
  input: Input;
  /** Index into the architecture's stacks. */
  stack: number;
  from: number;
  /** Its place among the slice's sources. */
  index: number;
}

export interface OpenSlice {
  /** Its place among the slices. */
  index: number;
  length: number;
  /** Of the models, in order; those that are the base are left out. */
  models: SliceSource[];
  base: SliceSource | null;
  /** Whose names count: the base's, else the first source's. */
  leading: SliceSource;
}

/** What a module is called in each input, and what the recipe calls it (null: the whole model). */
export interface ModuleKey {
  key: string | null;
  /** The donor's name for it. */
  name: string;
}

/** Finds the layers that slices name. `at`: JSON pointer of the slices. Problems are added to `problems`. */
export function openSlices(
  recipe: Pick<Recipe, 'base' | 'models'>,
  slices: readonly Slice[],
  { base, models }: Inputs,
  module: ModuleKey,
  at: string,
  problems: FieldProblem[],
): OpenSlice[] {
  const refuse = (pointer: string, detail: string) => problems.push({ code: 'invalid_recipe', pointer, detail });
  return slices.flatMap((slice, index) => {
    const sources = slice.sources.flatMap(
      ({ model: reference, layer_range }, j): (SliceSource & { length: number })[] => {
        const pointer = `${at}/${index}/sources/${j}`;
        const found = findModel(recipe, reference);
        const input = found === 'base' ? base : found === null ? undefined : models[found];
        if (input === undefined || input === null) {
          refuse(`${pointer}/model`, `${quote(reference)} is neither one of the recipe’s models nor its base`);
          return [];
        }
        const stack = stackOf(input, module);
        const own = stack === null ? undefined : input.architecture.stacks[stack];
        if (stack === null || own === undefined) {
          refuse(
            `${pointer}/model`,
            `${quote(reference)} has no layers${module.key === null ? '' : ` in ${quote(module.key)}`}`,
          );
          return [];
        }
        const [from, to] = [layer_range?.[0] ?? 0, layer_range?.[1] ?? own.count];
        if (to > own.count || from >= to) {
          refuse(`${pointer}/layer_range`, outside(reference, from, to, own));
          return [];
        }
        return [{ input, stack, from, index: j, length: to - from }];
      },
    );
    const [first] = sources;
    if (first === undefined || sources.length < slice.sources.length) return [];
    for (const { index: j, length } of sources) {
      if (length === first.length) continue;
      const detail = `has ${length} layers, but sources/0 has ${first.length}: all sources of a slice have equally many`;
      refuse(`${at}/${index}/sources/${j}/layer_range`, detail);
      return [];
    }
    const baseReference = slice.base ?? recipe.base;
    const ownBase = sources.find(({ index: j }) => slice.sources[j]?.model === baseReference) ?? null;
    if (slice.base !== undefined && ownBase === null) {
      refuse(
        `${at}/${index}/base`,
        `${quote(slice.base)} is none of the slice’s sources, so nothing says which of its layers are meant`,
      );
    }
    const isBase = (source: SliceSource) =>
      source.input.model === null || (slice.base !== undefined && source.input === ownBase?.input);
    return [
      {
        index,
        length: first.length,
        models: sources.filter((source) => !isBase(source)),
        base: ownBase,
        leading: ownBase ?? first,
      },
    ];
  });
}

/** Which stack of an input a module means; null: none, or more than one. */
export function stackOf({ architecture: { stacks, modules } }: Input, { key, name }: ModuleKey): number | null {
  if (key === null) return stacks.length === 1 ? 0 : null;
  for (const wanted of [name, key]) {
    const [found, ...more] = modules.find(wanted);
    if (found !== undefined && more.length === 0) return modules.all[found]?.stack ?? null;
  }
  return stacks.length === 1 ? 0 : null;
}

function outside(reference: string, from: number, to: number, { prefix, count }: Stack): string {
  const layers = count === 1 ? '1 layer' : `${count} layers`;
  return `[${from}, ${to}] is outside of ${quote(reference)}, which has ${layers} (${prefix}.0 to ${prefix}.${count - 1}): at most [0, ${count}]`;
}
