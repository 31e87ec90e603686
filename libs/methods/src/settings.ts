import { AmalgamError, type FieldError, type Recipe, validate } from '@amalgam/contracts';
import Type, { type TObject, type TSchema } from 'typebox';
import type { MergeMethod, Settings } from './definition.js';
import { getMethod } from './registry.js';
import { checkTasks } from './tasks.js';

export interface ResolvedRecipe {
  method: MergeMethod;
  settings: Settings;
  /** The recipe with every parameter's default filled in. */
  recipe: Recipe;
}

/**
 * Checks method, parameters, number of models and tasks, and fills in the defaults. A model parameter is looked up with the model, then
 * among the recipe's parameters, then in the method's defaults.
 *
 * @throws AmalgamError `unknown_method`, or `invalid_recipe` with every problem and its JSON pointer.
 */
export function resolveRecipe(recipe: Recipe): ResolvedRecipe {
  const method = getMethod(recipe.method);
  const errors: FieldError[] = [];

  const { anywhere, perModel } = schemasOf(method);
  const given = recipe.parameters ?? {};
  collect(errors, validate(anywhere, given, '/parameters'));
  recipe.models.forEach((model, i) => {
    collect(errors, validate(perModel, model.parameters ?? {}, `/models/${i}/parameters`));
  });

  const { minimum, maximum } = method.models;
  if (recipe.models.length < minimum || (maximum !== null && recipe.models.length > maximum)) {
    const wanted =
      maximum === minimum ? `${minimum}` : maximum === null ? `at least ${minimum}` : `${minimum} to ${maximum}`;
    errors.push({ pointer: '/models', detail: `${method.name} takes ${wanted} models, not ${recipe.models.length}` });
  }
  if (method.base === 'required' && recipe.base === undefined) {
    errors.push({ pointer: '/base', detail: `${method.name} needs a base` });
  }
  errors.push(...checkTasks(recipe, method));
  if (errors.length > 0) throw invalid(errors);

  const settings: Settings = {
    global: fill(method.parameters, given),
    models: recipe.models.map((model) => fill(method.modelParameters, model.parameters ?? {}, given)),
  };
  const broken = method.check?.(settings) ?? [];
  if (broken.length > 0) throw invalid(broken);

  return {
    method,
    settings,
    recipe: {
      ...recipe,
      parameters: settings.global,
      models: recipe.models.map((model, i) => ({ ...model, parameters: settings.models[i]! })),
    },
  };
}

interface Schemas {
  /** Of the recipe's own parameters: the method's, and the models' as defaults for all of them. */
  anywhere: TObject;
  perModel: TObject;
}

/** Made once for each method: the validator compiles every schema object that it meets, and keeps what it compiled. */
const schemas = new WeakMap<MergeMethod, Schemas>();

function schemasOf(method: MergeMethod): Schemas {
  let made = schemas.get(method);
  if (made === undefined) {
    const closed = { additionalProperties: false };
    made = {
      anywhere: Type.Object({ ...optional(method.parameters), ...optional(method.modelParameters) }, closed),
      perModel: Type.Object(optional(method.modelParameters), closed),
    };
    schemas.set(method, made);
  }
  return made;
}

function invalid(errors: FieldError[]): AmalgamError {
  const detail = errors.map((error) => `${error.pointer}: ${error.detail}`).join('; ');
  return new AmalgamError('invalid_recipe', detail, { errors });
}

function collect(errors: FieldError[], result: ReturnType<typeof validate>): void {
  if (!result.ok) errors.push(...result.errors);
}

function optional(schema: TObject): Record<string, TSchema> {
  return Object.fromEntries(Object.entries(schema.properties).map(([key, value]) => [key, Type.Optional(value)]));
}

function fill(schema: TObject, ...sources: Record<string, unknown>[]): Record<string, unknown> {
  const filled: Record<string, unknown> = {};
  for (const [key, property] of Object.entries(schema.properties)) {
    const source = sources.find((values) => Object.hasOwn(values, key));
    filled[key] = source === undefined ? (property as { default?: unknown }).default : source[key];
  }
  return filled;
}
