import type { Merge, Recipe, TaskReport } from '@amalgam/contracts';
import { client } from '../api.js';

/** A merge with how well it does its tasks. */
export interface Judged {
  merge: Merge;
  tasks: readonly TaskReport[];
}

/** So many others are looked at, the newest ones. */
const MOST = 8;

/** The checkpoints that a recipe merges. */
export function modelsOf({ base, models }: Recipe): string[] {
  return [...new Set([base ?? [], models.map(({ model }) => model)].flat())];
}

/** Finished merges of the very same base and models, with the accuracies that they were found to have; the newest first. */
export async function findSiblings({ id, recipe }: Merge, signal: AbortSignal): Promise<Judged[]> {
  const input = modelsOf(recipe);
  const { data } = await client.merges.page({ input, state: 'succeeded', limit: 50 }, { signal });
  const same = data
    .filter((other) => other.id !== id && other.recipe.tasks !== undefined)
    .filter((other) => other.recipe.base === recipe.base && modelsOf(other.recipe).length === input.length)
    .slice(0, MOST);
  const reports = await Promise.all(same.map((other) => client.merges.report(other.id, { signal })));
  return same.flatMap((merge, i) => {
    const tasks = reports[i]?.tasks;
    return tasks === undefined ? [] : [{ merge, tasks }];
  });
}

/** A task of another merge is the same one if it judges the same model by the same data. */
export function sameTask(recipe: Recipe, name: string, other: Recipe): string | null {
  const task = recipe.tasks?.find((one) => one.name === name);
  if (task === undefined) return null;
  const data = (one: typeof task) => one.evaluation ?? one.data;
  const same = other.tasks?.find((one) => one.model === task.model && data(one) === data(task));
  return same?.name ?? null;
}
