import {
  escapePointer,
  type FieldProblem,
  findModel,
  problemsError,
  quote,
  quoteList,
  type Recipe,
  suggest,
} from '@amalgam/contracts';
import { arrangeSlices } from './arrange-slices.js';
import type { ArrangedInputs, ArrangedTensor, Arrangement } from './arrangement.js';
import { tellBlocksLeft, tellDifferences } from './differences.js';
import { followLayers, type LayerOrigin } from './followed-config.js';
import { untie } from './heads.js';
import { type Input, type Inputs, isBuffer, lookUp, openInputs } from './inputs.js';
import { type ModuleKey, openSlices } from './slice-sources.js';

/** How many models a method merges; maximum null: any number. */
export interface Takes {
  minimum: number;
  maximum: number | null;
}

/** Of modules, among which a misspelt one is looked for. */
const MOST_NAMES = 100;
const ANY_NUMBER: Takes = { minimum: 1, maximum: null };

/**
 * Which tensors the result has, and which tensors of the inputs each is made of; from names, shapes and configs alone.
 *
 * Without slices and modules these are the base's (without a base: the first model's), each from the tensors of the same name, whether or
 * not a model has one: whoever reads them says so. With slices, layers are chosen, renumbered, and the config follows.
 *
 * Where a recipe has modules, what belongs to none of them is merged from all models; a method that takes a single one (`takes`) gets the
 * first, with a warning.
 *
 * @throws AmalgamError `invalid_recipe` for layers and modules that are not there, `tensor_missing` for slices' sources that differ,
 * with every problem found and its JSON pointer
 */
export function arrange(recipe: Recipe, given: ArrangedInputs, takes: Takes = ANY_NUMBER): Arrangement {
  const inputs = openInputs(given);
  const problems: FieldProblem[] = [];
  const warnings = tellDifferences(inputs);
  const parts = partsOf(recipe, inputs, problems);
  if (problems.length > 0) throw problemsError(problems);

  const sliced = new Map<Part, { tensors: ArrangedTensor[]; layers: LayerOrigin[] }>();
  const tensors: ArrangedTensor[] = [];
  const changes: Record<string, unknown> = {};
  for (const part of parts) {
    const { slices, module, stack, at } = part;
    if (slices === undefined || stack === null) continue;
    const open = openSlices(recipe, slices, inputs, module, `${at}/slices`, problems);
    if (open.length < slices.length) continue;
    const result = arrangeSlices(inputs.donor, stack, module, open, `${at}/slices`, problems, warnings);
    sliced.set(part, result);
    tensors.push(...result.tensors);
    Object.assign(
      changes,
      followStack(inputs.donor, stack, result.layers, (text) => warnings.push(text)),
    );
  }
  if (problems.length > 0) throw problemsError(problems);

  const chosen = new Set([...sliced.keys()].map(({ stack }) => stack));
  warnings.push(
    ...tellBlocksLeft(
      inputs,
      [...inputs.donor.architecture.stacks.keys()].filter((i) => !chosen.has(i)),
    ),
  );
  keepImplied(inputs.donor, changes);

  const forOthers = choiceForOthers(recipe, takes);
  const others: string[] = [];
  for (const [name, { shape }] of inputs.donor.tensors) {
    const part = parts.find((candidate) => candidate.holds(name));
    if (part !== undefined && sliced.has(part)) continue;
    if (part === undefined) others.push(name);
    const choice = part === undefined ? (forOthers ?? []) : (part.models ?? allOf(recipe));
    const arranged = arrangeWhole(inputs, name, part?.module.key ?? null, choice);
    if (arranged.models.length > 0 && !(isBuffer(name, shape) && !isEverywhere(arranged, inputs)))
      tensors.push(arranged);
  }
  if (others.length > 0) {
    const where = `${quoteList(others)} in no module of the recipe`;
    if (forOthers === undefined) {
      const detail = `${where}: ${recipe.models.length} models are too many or too few there; name their modules, with models`;
      throw problemsError([{ code: 'invalid_recipe', pointer: '/modules', detail }]);
    }
    if (forOthers.length < recipe.models.length) warnings.push(`${where}: from the first model`);
  }
  const heads = untie(recipe, inputs, tensors, sliced.size > 0);
  return {
    tensors: [...tensors, ...heads.tensors],
    config: { ...changes, ...heads.config },
    layers: layersOf(inputs.donor, sliced, parts),
    redundant: heads.redundant,
    warnings: [...warnings, ...heads.warnings],
  };
}

/** Models that are merged, and which of the module's entries they are. */
type Choice = { model: number; source: number | null }[];

/** A module that the recipe says something of; or, with slices of its own, the whole model. */
interface Part {
  module: ModuleKey;
  /** Index into the donor's stacks. */
  stack: number | null;
  slices: Recipe['slices'];
  /** Those merged here, in order; undefined: all. */
  models: Choice | undefined;
  /** JSON pointer. */
  at: string;
  /** Does a tensor of the donor belong to it? */
  holds(name: string): boolean;
}

function partsOf(recipe: Recipe, { donor }: Inputs, problems: FieldProblem[]): Part[] {
  const { stacks, modules } = donor.architecture;
  const refuse = (pointer: string, detail: string) => problems.push({ code: 'invalid_recipe', pointer, detail });
  if (recipe.slices !== undefined) {
    if (stacks.length === 1) {
      const module = { key: null, name: modules.all[0]?.name ?? '' };
      return [{ module, stack: 0, slices: recipe.slices, models: undefined, at: '', holds: () => true }];
    }
    const names = modules.all.flatMap(({ name, stack }) => (stack === null ? [] : [name]));
    refuse(
      '/slices',
      stacks.length === 0
        ? `${quote(donor.reference)} has no layers: no numbered blocks among its tensors`
        : `${quote(donor.reference)} has several stacks of layers, ${quoteList(names)}: give each its slices under modules`,
    );
    return [];
  }
  const taken = new Map<number, string>();
  return Object.entries(recipe.modules ?? {}).flatMap(([key, module]): Part[] => {
    const at = `/modules/${escapePointer(key)}`;
    const found = modules.find(key);
    const names = modules.all.slice(0, MOST_NAMES).map(({ name }) => name);
    const [index] = found;
    if (index === undefined) {
      const known = names.length === 0 ? 'it has none' : `it has ${quoteList(names)}`;
      refuse(at, `${quote(donor.reference)} has no module ${quote(key)}: ${known}${suggest(key, names)}`);
      return [];
    }
    for (const one of found) {
      const other = taken.get(one);
      if (other !== undefined)
        refuse(at, `${quote(key)} and ${quote(other)} are the same module, ${quote(modules.all[one]?.name ?? '')}`);
      taken.set(one, key);
    }
    const stack = modules.all[index]?.stack ?? null;
    // A module without layers is made in one piece: a single slice over all of it says no more than its sources.
    const whole = stack === null && module.slices?.length === 1 ? module.slices[0]?.sources : undefined;
    if (
      stack === null &&
      module.slices !== undefined &&
      !whole?.every(({ layer_range }) => layer_range === undefined)
    ) {
      refuse(`${at}/slices`, `${quote(key)} has no layers: give it models`);
      return [];
    }
    const references = module.models ?? whole;
    return [
      {
        module: { key, name: modules.all[index]?.name ?? key },
        stack,
        slices: whole === undefined ? module.slices : undefined,
        models: references?.flatMap(({ model: reference }, source) => {
          const model = findModel(recipe, reference);
          return typeof model === 'number' ? [{ model, source }] : [];
        }),
        at,
        holds: (name) => found.includes(modules.of(name) ?? -1),
      },
    ];
  });
}

function allOf({ models }: Pick<Recipe, 'models'>): Choice {
  return models.map((_, model) => ({ model, source: null }));
}

/**
 * What merges the tensors that no module of the recipe holds: all models, or the first one for methods that take one; undefined: the
 * method takes neither.
 */
function choiceForOthers({ models, modules }: Recipe, { minimum, maximum }: Takes): Choice | undefined {
  const all = allOf({ models });
  if (modules === undefined) return all;
  if (maximum === 1) return all.slice(0, 1);
  return all.length >= minimum && all.length <= (maximum ?? all.length) ? all : undefined;
}

/** A tensor from those of the same name. */
function arrangeWhole(
  { base, models, donor }: Inputs,
  name: string,
  module: string | null,
  choice: Choice,
): ArrangedTensor {
  const layer = donor.architecture.layerOf(name);
  const count = layer === null ? 0 : (donor.architecture.stacks[layer.stack]?.count ?? 0);
  return {
    name,
    base: base === null ? null : { model: null, name },
    models: choice.flatMap(({ model }) => {
      const input = models[model];
      return input === undefined ? [] : [{ model, name: lookUp(input, name, donor) ?? name }];
    }),
    slice: null,
    module,
    sources: choice.flatMap(({ source }) => (source === null ? [] : [source])),
    t: layer === null ? 0 : count === 1 ? 1 : layer.index / (count - 1),
  };
}

function isEverywhere({ models }: ArrangedTensor, inputs: Inputs): boolean {
  return models.every(({ model, name }) => inputs.models[model]?.tensors.has(name));
}

function followStack(
  donor: Input,
  stack: number,
  layers: LayerOrigin[],
  warn: (text: string) => void,
): Record<string, unknown> {
  const own = donor.architecture.stacks[stack];
  if (own === undefined) return {};
  const isWhole =
    layers.length === own.count && layers.every(({ config, index }, j) => config === donor.config && index === j);
  if (isWhole) return {};
  if (donor.config !== null && own.counts.length === 0) {
    warn(
      `config.json of ${quote(donor.reference)} does not say how many blocks ${quote(own.prefix)} has; the result has ${layers.length}`,
    );
  }
  const [count] = own.counts;
  if (count !== undefined && count.value !== own.count) {
    const key = [...count.path, count.key].join('.');
    warn(
      `config.json of ${quote(donor.reference)} says ${key} ${count.value}, but ${quote(own.prefix)} has ${own.count} blocks`,
    );
  }
  return followLayers({ config: donor.config, counts: own.counts, count: own.count }, layers, warn);
}

/** Counts that follow another's by default are written out when that one changes. */
function keepImplied({ architecture }: Input, changes: Record<string, unknown>): void {
  if (Object.keys(changes).length === 0) return;
  for (const { count, counts } of architecture.stacks) {
    for (const { path, key, implied } of counts) if (implied) changes[[...path, key].join('.')] ??= count;
  }
}

function layersOf(donor: Input, sliced: ReadonlyMap<Part, { layers: LayerOrigin[] }>, parts: readonly Part[]): number {
  return donor.architecture.stacks.reduce((sum, { count }, i) => {
    const part = parts.find((candidate) => candidate.stack === i && sliced.has(candidate));
    return sum + (part === undefined ? count : (sliced.get(part)?.layers.length ?? 0));
  }, 0);
}
