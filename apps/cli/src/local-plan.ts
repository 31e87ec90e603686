import type { Recipe } from '@amalgam/contracts';
import { type MergePlan, planMerge, tokenRequest } from '@amalgam/engine';
import { movePointer, movePointers } from '@amalgam/mergekit';
import { planTokens, type TokenPlan } from '@amalgam/tokenizers';
import { checkLocalTasks, openRecipeInputs } from './local-input.js';
import { inFile, readRecipeFile } from './recipe-file.js';

export interface PlanLimits {
  threads?: number | undefined;
  memory?: number | undefined;
}

export interface LocalPlan {
  plan: MergePlan;
  inputs: Awaited<ReturnType<typeof openRecipeInputs>>;
}

/**
 * What a recipe's file asks for, checked from headers alone.
 *
 * @throws AmalgamError as `readRecipeFile`, `openRecipeInputs`, `planMerge` and `checkLocalTasks` say
 */
export async function planLocally(path: string, limits: PlanLimits): Promise<LocalPlan> {
  const { recipe, warnings, pointerOf, folder } = await readRecipeFile(path);
  try {
    const { inputs, plan } = await planRecipe(recipe, folder, limits);
    const placed = plan.warnings.map((warning) => movePointer(warning, pointerOf));
    return { inputs, plan: { ...plan, warnings: [...warnings, ...placed] } };
  } catch (error) {
    throw inFile(movePointers(error, pointerOf), path);
  }
}

/**
 * The same of a recipe; `folder` is what its relative paths start from.
 *
 * @throws AmalgamError as `openRecipeInputs`, `planTokens`, `planMerge` and `checkLocalTasks` say
 */
export async function planRecipe(recipe: Recipe, folder: string, { threads, memory }: PlanLimits): Promise<LocalPlan> {
  const inputs = await openRecipeInputs(recipe, folder);
  const tokens = await planLocalTokens(recipe, inputs);
  const plan = planMerge(
    recipe,
    { ...inputs, tokens },
    {
      ...(threads === undefined ? {} : { threads }),
      ...(memory === undefined ? {} : { memoryBytes: memory }),
    },
  );
  checkLocalTasks(inputs.tasks, plan);
  plan.warnings.push(...inputs.notes);
  return { inputs, plan };
}

async function planLocalTokens(recipe: Recipe, inputs: LocalPlan['inputs']): Promise<TokenPlan | null> {
  const request = tokenRequest(recipe, inputs);
  return request === null ? null : planTokens(request, (input) => inputs.all[input]!.folder);
}
