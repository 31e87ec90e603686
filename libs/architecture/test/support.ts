import type { Recipe, Slice } from '@amalgam/contracts';
import { AmalgamError } from '@amalgam/contracts';
import { type Arrangement, arrange, editConfig, type Takes } from '../src/index.js';
import { type Described, describeModel, FAMILIES, type Family, type Sizes, type TinyModel } from './models/index.js';

export const RECIPE = { method: 'passthrough' } as const;

/** Arranges a recipe over models given by their references; `base` is one of them. */
export async function arranged(
  recipe: Omit<Recipe, 'method' | 'models'> & { models?: Recipe['models'] },
  models: Record<string, Described>,
  takes?: Takes,
): Promise<Arrangement> {
  const open = async (reference: string) => describeModel(reference, models[reference] as Described);
  const listed = recipe.models ?? Object.keys(models).flatMap((model) => (model === recipe.base ? [] : [{ model }]));
  return arrange(
    { ...RECIPE, ...recipe, models: listed },
    {
      base: recipe.base === undefined ? null : await open(recipe.base),
      models: await Promise.all(listed.map(({ model }) => open(model))),
    },
    takes,
  );
}

/** The error of an arrangement, by code and pointers to details. */
export async function refusal(work: Promise<unknown>): Promise<{ code: string; errors: Record<string, string> }> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof AmalgamError)) throw new Error(`expected an AmalgamError, got ${String(error)}`);
  return { code: error.code, errors: Object.fromEntries(error.errors.map(({ pointer, detail }) => [pointer, detail])) };
}

/** [model, from, to] as a slice of one source. */
export function slice(...sources: [model: string, from: number, to: number][]): Slice {
  return { sources: sources.map(([model, from, to]) => ({ model, layer_range: [from, to] })) };
}

export function make(family: Family, sizes: Sizes = {}): TinyModel {
  return FAMILIES[family](sizes);
}

export function names({ tensors }: Arrangement): string[] {
  return tensors.map(({ name }) => name).sort();
}

/** The tensor of the result, which must be there. */
export function tensorOf({ tensors }: Arrangement, name: string): Arrangement['tensors'][number] {
  const found = tensors.filter((tensor) => tensor.name === name);
  const [tensor] = found;
  if (tensor === undefined || found.length > 1) throw new Error(`${found.length} tensors ${name}`);
  return tensor;
}

/** A config with an arrangement's changes. */
export function changed(config: Record<string, unknown>, { config: changes }: Arrangement): unknown {
  return JSON.parse(editConfig(JSON.stringify(config), changes));
}
