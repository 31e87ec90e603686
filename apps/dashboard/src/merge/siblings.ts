import type { Merge, TaskReport } from '@amalgam/contracts';
import { client } from '../api.js';
import { modelsOf } from './inputs.js';

/** A merge with how well it does its tasks. */
export interface Judged {
  merge: Merge;
  tasks: readonly TaskReport[];
}

/** So many others are looked at, the newest ones. */
const MOST = 8;
/** The service looks for no more at a time. */
const MOST_INPUTS = 64;

/** Finished merges of the very same base and models, with the accuracies that they were found to have; the newest first. */
export async function findSiblings({ id, recipe }: Merge, signal: AbortSignal): Promise<Judged[]> {
  const input = modelsOf(recipe);
  const { data } = await client.merges.page(
    { input: input.slice(0, MOST_INPUTS), state: 'succeeded', limit: 50 },
    { signal },
  );
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
