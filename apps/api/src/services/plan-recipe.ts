import type { Plan, Recipe } from '@amalgam/contracts';
import { describePlan, type MergePlan, planMerge, tokenRequest } from '@amalgam/engine';
import { movePointer } from '@amalgam/mergekit';
import { resolveRecipe } from '@amalgam/methods';
import {
  type Config,
  findInputs,
  openAsset,
  type Parts,
  type RecipeInputs,
  readTokens,
  type TaskInput,
} from '@amalgam/runtime';
import type { TokenPlan } from '@amalgam/tokenizers';
import { checkTaskData, type DescribedTask } from '@amalgam/tuning';
import { below } from './problem.js';
import { asWritten, type WrittenRecipe } from './written-recipe.js';

export interface PlannedRecipe {
  inputs: RecipeInputs;
  plan: MergePlan;
  resource: Plan;
}

/**
 * Checks a recipe completely, from headers alone: arithmetic on what the database keeps, so it needs no worker.
 * Pointers of its errors begin with /recipe, or lead to what was written in another language.
 */
export async function planRecipe(
  services: { parts: Parts; config: Config },
  projectId: string,
  recipe: Recipe,
  written: WrittenRecipe | null,
): Promise<PlannedRecipe> {
  try {
    const planned = await planOurs(services, projectId, recipe);
    if (written === null) return planned;
    const { warnings, pointerOf } = written.read;
    // The plan's own list is the report's, which knows nothing of other languages.
    const placed = planned.resource.warnings.map((warning) => movePointer(warning, pointerOf));
    return { ...planned, resource: { ...planned.resource, warnings: [...warnings, ...placed] } };
  } catch (error) {
    throw asWritten(error, written);
  }
}

async function planOurs(
  { parts, config }: { parts: Parts; config: Config },
  projectId: string,
  recipe: Recipe,
): Promise<PlannedRecipe> {
  // What is wrong with the recipe itself comes before what it names.
  inBody(() => resolveRecipe(recipe));
  const inputs = await findInputs(parts, projectId, recipe);
  const { memoryBytes, threads } = config.worker;
  const tokens = await planAskedTokens({ parts, config }, recipe, inputs);
  const plan = inBody(() =>
    planMerge(recipe, { ...inputs, tokens }, { memoryBytes, ...(threads === undefined ? {} : { threads }) }),
  );
  const tasks = inputs.tasks.map(describedTask);
  plan.warnings.push(...inBody(() => checkTaskData(tasks, plan.tuning?.settings.batchSize ?? null)));
  return { inputs, plan, resource: describePlan(plan) };
}

/**
 * What the recipe asks for of tokens; null when it asks nothing. The small files of the checkpoints are read for it, in a thread. That
 * vocabularies agree where the recipe takes it for granted, is what the worker looks at: it has the files at hand.
 */
async function planAskedTokens(
  { parts, config }: { parts: Parts; config: Config },
  recipe: Recipe,
  inputs: RecipeInputs,
): Promise<TokenPlan | null> {
  if (recipe.tokenizer === undefined && recipe.chat_template === undefined) return null;
  const request = inBody(() => tokenRequest(recipe, inputs));
  if (request === null) return null;
  const labels = inputs.rows.map(({ name }) => name);
  const open = (input: number) => openAsset(parts, config, inputs.rows[input]!);
  return readTokens(request, labels, open).catch((error: unknown) => {
    throw below('/recipe', error);
  });
}

function describedTask({ task, graph, data, evaluation }: TaskInput): DescribedTask {
  return {
    task,
    graph: graph.description,
    data: data?.description ?? null,
    evaluation: evaluation?.description ?? null,
  };
}

function inBody<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw below('/recipe', error);
  }
}
