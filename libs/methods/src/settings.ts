import type { TSchema } from '@amalgam/contracts';
import { AmalgamError, type FieldError, joinDetails, MOST_FILTERS, type Recipe, validate } from '@amalgam/contracts';
import type { MergeMethod, Settings } from './definition.js';
import { type Levels, levelsOf, type Place } from './levels.js';
import { parameterVariation, schemasOf } from './parameter-schemas.js';
import { checkLayers } from './recipe-layers.js';
import { getMethod } from './registry.js';
import { checkTasks } from './tasks.js';
import { chain, checkVarying, evaluate, filtersOf, isVarying } from './varying.js';

export interface ResolvedRecipe {
  method: MergeMethod;
  /**
   * Of tensors outside of slices, modules and layers whose names no filter knows. What cannot vary by tensor (the method's
   * `uniform`, enumerations, seeds) is so for every tensor.
   */
  settings: Settings;
  /**
   * Of one tensor; `models` go with `place.models`. Equal settings are the same object.
   *
   * @throws AmalgamError `invalid_recipe` where they break the method's rules
   */
  settingsAt(place: Place): Settings;
  /** May settings differ from tensor to tensor? */
  varies: boolean;
  /** The recipe with every parameter's default filled in. */
  recipe: Recipe;
}

/**
 * Checks method, parameters, slices, number of models and tasks, and fills in the defaults. A parameter is looked up with the slice's
 * source, then in the slice, the module, the model, the recipe, and in the method's defaults; a value that varies by name and
 * has none for a tensor leaves it to the next.
 *
 * @throws AmalgamError `unknown_method`, or `invalid_recipe` with every problem and its JSON pointer.
 */
export function resolveRecipe(recipe: Recipe): ResolvedRecipe {
  const method = getMethod(recipe.method);
  const levels = levelsOf(recipe);
  const errors: FieldError[] = [];
  for (const { parameters, pointer, perModel } of levels.all) {
    errors.push(...checkParameters(method, parameters, pointer, perModel));
  }
  if (errors.length === 0) errors.push(...countFilters(levels));
  errors.push(...checkLayers(recipe, method));
  if (method.base === 'required' && recipe.base === undefined) {
    errors.push({ pointer: '/base', detail: `${method.name} needs a base` });
  }
  if (method.base === 'none' && recipe.base !== undefined) {
    errors.push({ pointer: '/base', detail: `${method.name} takes no base` });
  }
  errors.push(...checkTasks(recipe, method));
  if (errors.length > 0) throw invalid(errors);

  const nowhere = { name: '', sources: [], slice: null, module: null, t: 0 };
  const settings = settingsOf(method, levels, {
    ...nowhere,
    models: recipe.models.map((_, model) => ({ model, name: '' })),
  });
  const misplaced = checkUniform(method, settings, levels);
  if (misplaced.length > 0) throw invalid(misplaced);
  const varies = levels.all.some(
    ({ parameters, local }) =>
      (local && Object.keys(parameters).length > 0) || Object.values(parameters).some(isVaried),
  );
  // What holds for every tensor is told before any header is looked at.
  if (!varies && recipe.slices === undefined && recipe.modules === undefined) check(method, settings);

  return { method, settings, settingsAt: memoize(method, levels, varies), varies, recipe: fillIn(recipe, method) };

  function isVaried(value: unknown): boolean {
    // adamerging's clamp and extract_lora's globs are lists by nature.
    return method.tuned === undefined && method.adapter === undefined && isVarying(value);
  }
}

/** Every filter is held against the names of every tensor. */
function countFilters({ all }: Levels): FieldError[] {
  const count = all.reduce(
    (sum, { parameters }) =>
      Object.values(parameters).reduce<number>((own, value) => own + filtersOf(value).length, sum),
    0,
  );
  if (count <= MOST_FILTERS) return [];
  return [{ pointer: '', detail: `the recipe has ${count} filters, more than ${MOST_FILTERS}` }];
}

function checkParameters(
  method: MergeMethod,
  given: Record<string, unknown>,
  pointer: string,
  perModel: boolean,
): FieldError[] {
  const schemas = schemasOf(method);
  const schema = perModel ? schemas.perModel : schemas.anywhere;
  const plain: Record<string, unknown> = {};
  const errors: FieldError[] = [];
  for (const [name, value] of Object.entries(given)) {
    const property: TSchema | undefined = Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
    const varies = property !== undefined && parameterVariation(method, property) !== 'none';
    if (varies && isVarying(value)) errors.push(...checkVarying(property, value, `${pointer}/${name}`));
    else if (property !== undefined && isConditional(value))
      errors.push(cannotVary(method, name, `${pointer}/${name}`));
    else plain[name] = value;
  }
  const checked = validate(schema, plain, pointer);
  return checked.ok ? errors : [...checked.errors, ...errors];
}

function isConditional(value: unknown): boolean {
  const entry: unknown = Array.isArray(value) ? value[0] : value;
  return typeof entry === 'object' && entry !== null && 'value' in entry;
}

/** Parameters of which a merge has one value, given for some of the tensors. */
function checkUniform(method: MergeMethod, settings: Settings, { all }: Levels): FieldError[] {
  const named = new Set(method.uniform?.(settings) ?? []);
  const properties = { ...method.parameters.properties, ...method.modelParameters.properties };
  const isUniform = (name: string) => named.has(name) || parameterVariation(method, properties[name]!) === 'none';
  return all.flatMap(({ parameters, pointer, local }) =>
    Object.entries(parameters).flatMap(([name, value]) =>
      isUniform(name) && (local || (named.has(name) && isVarying(value)))
        ? [cannotVary(method, name, `${pointer}/${name}`)]
        : [],
    ),
  );
}

function cannotVary(method: MergeMethod, name: string, pointer: string): FieldError {
  return {
    pointer,
    detail: `${name} of ${method.name} cannot vary by tensor with these settings: one value serves them all`,
  };
}

/** Settings by tensor, each distinct one made and checked once. */
function memoize(method: MergeMethod, levels: Levels, varies: boolean): (place: Place) => Settings {
  const made = new Map<string, Settings>();
  // Where nothing varies, settings follow from the models alone.
  const byModels = new Map<string, Settings>();
  return (place) => {
    const models = place.models.map(({ model }) => model).join(' ');
    const known = varies ? undefined : byModels.get(models);
    if (known !== undefined) return known;
    const settings = settingsOf(method, levels, place);
    const key = JSON.stringify(settings);
    let same = made.get(key);
    if (same === undefined) {
      check(method, settings, place);
      same = settings;
      made.set(key, same);
    }
    if (!varies) byModels.set(models, same);
    return same;
  };
}

function settingsOf(method: MergeMethod, levels: Levels, place: Place): Settings {
  const global = levels.ofTensor(place);
  return {
    global: fill(method.parameters, global, (setting) => evaluate(setting, place.name, place.t)),
    models: place.models.map(({ name }, i) =>
      fill(method.modelParameters, levels.ofModel(place, i), (setting) => evaluate(setting, name, place.t)),
    ),
  };

  function fill(
    schema: MergeMethod['parameters'],
    sources: readonly Record<string, unknown>[],
    settle: (setting: unknown) => unknown,
  ): Record<string, unknown> {
    const filled: Record<string, unknown> = {};
    for (const [name, property] of Object.entries(schema.properties)) {
      const varies = parameterVariation(method, property) !== 'none';
      let value: unknown;
      for (const source of sources) {
        if (!Object.hasOwn(source, name)) continue;
        value = varies ? settle(source[name]) : source[name];
        if (value !== undefined) break;
      }
      filled[name] = value === undefined ? defaultOf(property) : value;
    }
    return filled;
  }
}

/** @throws AmalgamError `invalid_recipe`; its pointers start at the recipe's models, and it names the tensor if there is one. */
function check(method: MergeMethod, settings: Settings, place?: Place): void {
  const broken = method.check?.(settings) ?? [];
  if (broken.length === 0) return;
  if (place === undefined) throw invalid(broken);
  const errors = broken.map(({ pointer, detail }) => ({
    pointer: pointer.replace(/^\/models\/(\d+)/, (all, i) => {
      const model = place.models[Number(i)]?.model;
      return model === undefined ? all : `/models/${model}`;
    }),
    detail: `${detail} (tensor "${place.name}")`,
  }));
  throw invalid(errors);
}

/** With the defaults at the lowest levels, so that it means the same wherever it is resolved again. */
function fillIn(recipe: Recipe, method: MergeMethod): Recipe {
  const given = recipe.parameters ?? {};
  const varies = (property: TSchema) => parameterVariation(method, property) !== 'none';
  const fill = (property: TSchema, settings: unknown[]) => {
    const all = [...settings.filter((setting) => setting !== undefined), defaultOf(property)];
    return varies(property) ? chain(all) : all[0];
  };
  const global = Object.entries(method.parameters.properties);
  const perModel = Object.entries(method.modelParameters.properties);
  // A list for all models stays with the recipe: copies for each of them could be many times its size.
  const isShared = (name: string, property: TSchema) => varies(property) && isVarying(given[name]);
  const shared = perModel.filter(([name, property]) => isShared(name, property));
  const own = perModel.filter(([name, property]) => !isShared(name, property));
  return {
    ...recipe,
    parameters: Object.fromEntries(
      [...global, ...shared].map(([name, property]) => [name, fill(property, [given[name]])]),
    ),
    models: recipe.models.map(({ parameters = {}, ...model }) => ({
      ...model,
      parameters: {
        ...Object.fromEntries(
          shared.flatMap(([name]) => (Object.hasOwn(parameters, name) ? [[name, parameters[name]]] : [])),
        ),
        ...Object.fromEntries(own.map(([name, property]) => [name, fill(property, [parameters[name], given[name]])])),
      },
    })),
  };
}

function defaultOf(property: TSchema): unknown {
  return (property as { default?: unknown }).default;
}

function invalid(errors: FieldError[]): AmalgamError {
  const detail = joinDetails(errors.map((error) => `${error.pointer}: ${error.detail}`));
  return new AmalgamError('invalid_recipe', detail, { errors });
}
