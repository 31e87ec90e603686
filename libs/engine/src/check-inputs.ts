import { AmalgamError, type FieldError, joinDetails, type Recipe } from '@amalgam/contracts';
import type { TokenPlan } from '@amalgam/tokenizers';
import type { ModelInput } from './types.js';
import { type InputView, viewAdapted, viewStored } from './views.js';

/** What a recipe names, in its order. */
export interface MergeInputs<T extends ModelInput = ModelInput> {
  base: T | null;
  models: T[];
  /** Of each model the adapter that is applied to it; absent: there are none. */
  adapters?: (T | null)[];
  /** What becomes of vocabularies; a recipe with `tokenizer` needs it. Absent: rows stay as they are. */
  tokens?: TokenPlan | null;
}

/** Every input, as `MergePlan.inputs` lists them. */
export function listInputs<T extends ModelInput>({ base, models, adapters = [] }: MergeInputs<T>): T[] {
  return [...(base === null ? [] : [base]), ...models, ...adapters.filter((adapter) => adapter !== null)];
}

/** @throws AmalgamError `duplicate_model` for a model that is the base (`overVectors`: where that makes no sense), or is there twice. */
export function refuseDuplicates({ base, models, adapters = [] }: MergeInputs, overVectors: boolean): void {
  const errors: FieldError[] = [];
  const same = (i: number, j: number) =>
    models[i]?.identity === models[j]?.identity && adapters[i]?.identity === adapters[j]?.identity;
  models.forEach((model, i) => {
    const pointer = `/models/${i}/model`;
    if (overVectors && base !== null && model.identity === base.identity && (adapters[i] ?? null) === null) {
      errors.push({ pointer, detail: `"${model.reference}" is the base: its task vector would be zero` });
    }
    const first = models.findIndex((_, j) => same(i, j));
    if (first < i) errors.push({ pointer, detail: `"${model.reference}" is the same checkpoint as models/${first}` });
  });
  if (errors.length > 0) {
    throw new AmalgamError('duplicate_model', joinDetails(errors.map((error) => error.detail)), { errors });
  }
}

/**
 * The inputs as full models: an adapter among the models stands for the base with it, one beside a model is applied to that.
 *
 * @throws AmalgamError `invalid_recipe` where a full model is wanted and an adapter given, or the other way round; what adapters say
 */
export function viewInputs(inputs: MergeInputs): { base: InputView | null; models: InputView[] } {
  const { base, models, adapters = [] } = inputs;
  refuseMisplaced(inputs);
  const first = base === null ? 0 : 1;
  let next = first + models.length;
  return {
    base: base === null ? null : viewStored(base, 0),
    models: models.map((model, i) => {
      const { reference, name, checkpoint, scalings } = model;
      const own = { input: first + i, reference, checkpoint, ...(scalings && { scalings }) };
      const adapter = adapters[i] ?? null;
      if (adapter !== null) {
        const labels = { reference: `${reference}+${adapter.reference}`, name, pointer: `/models/${i}/adapter` };
        return viewAdapted(labels, own, { ...adapter, input: next++ });
      }
      if (base === null || checkpoint.kind !== 'adapter') return viewStored(model, own.input);
      const labels = { reference, name, pointer: `/models/${i}/model` };
      return viewAdapted(labels, { ...base, input: 0 }, own);
    }),
  };
}

/** @throws AmalgamError `invalid_recipe` for tasks of models that no file holds: graphs are bound to stored tensors. */
export function refuseTasks(recipe: Recipe, { models, adapters = [] }: MergeInputs): void {
  if (recipe.tasks === undefined) return;
  const errors = models.flatMap(({ checkpoint }, i): FieldError[] => {
    const adapter = adapters[i] ?? null;
    if (checkpoint.kind !== 'adapter' && adapter === null) return [];
    const pointer = `/models/${i}/${adapter === null ? 'model' : 'adapter'}`;
    return [{ pointer, detail: 'a recipe with tasks takes full models: merge the adapter into its base first' }];
  });
  if (errors.length > 0)
    throw new AmalgamError('invalid_recipe', `${errors[0]!.pointer}: ${errors[0]!.detail}`, { errors });
}

function refuseMisplaced({ base, models, adapters = [] }: MergeInputs): void {
  const errors: FieldError[] = [];
  const isAdapter = ({ checkpoint }: ModelInput) => checkpoint.kind === 'adapter';
  const what = (input: ModelInput) => `"${input.reference}" is a LoRA adapter (adapter_model.safetensors)`;
  if (base !== null && isAdapter(base)) {
    errors.push({ pointer: '/base', detail: `${what(base)}: a base is a full model` });
  }
  models.forEach((model, i) => {
    const adapter = adapters[i] ?? null;
    const pointer = `/models/${i}/model`;
    if (adapter !== null && !isAdapter(adapter)) {
      const detail = `"${adapter.reference}" is a full model, not a LoRA adapter (adapter_model.safetensors)`;
      errors.push({ pointer: `/models/${i}/adapter`, detail });
    }
    if (!isAdapter(model)) return;
    if (adapter !== null) {
      errors.push({ pointer, detail: `${what(model)}: another adapter can be applied to a full model only` });
    } else if (base === null) {
      const detail = `${what(model)}: give the recipe a base that it is applied to, or merge adapters with merge_lora`;
      errors.push({ pointer, detail });
    }
  });
  if (errors.length > 0) {
    throw new AmalgamError('invalid_recipe', joinDetails(errors.map((error) => error.detail)), { errors });
  }
}
