import type { Recipe } from '@amalgam/contracts';

/** The checkpoints that a recipe merges. */
export function modelsOf({ base, models }: Recipe): string[] {
  return [...new Set([base ?? [], models.map(({ model }) => model)].flat())];
}

/** A task of another merge is the same one if it judges the same model by the same data. */
export function sameTask(recipe: Recipe, name: string, other: Recipe): string | null {
  const task = recipe.tasks?.find((one) => one.name === name);
  if (task === undefined) return null;
  const data = (one: typeof task) => one.evaluation ?? one.data;
  const same = other.tasks?.find((one) => one.model === task.model && data(one) === data(task));
  return same?.name ?? null;
}
