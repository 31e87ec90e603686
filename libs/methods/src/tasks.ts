import { type FieldError, quote, type Recipe, suggest } from '@amalgam/contracts';
import type { MergeMethod } from './definition.js';

/**
 * What no single field of a recipe's tasks shows: names that differ, models that are among the recipe's, datasets where they
 * are needed. Several tasks may share a model, and a model may have no task.
 */
export function checkTasks(recipe: Recipe, method: MergeMethod): FieldError[] {
  const { tasks } = recipe;
  const isTuned = method.tuned !== undefined;
  if (tasks === undefined) {
    if (!isTuned) return [];
    return [{ pointer: '/tasks', detail: `${method.name} learns from data: it needs at least one task` }];
  }
  const errors: FieldError[] = [];
  const models = recipe.models.map(({ model }) => model);
  const named = new Map<string, number>();
  tasks.forEach((task, i) => {
    const at = `/tasks/${i}`;
    // Names become names of files, and some file systems ignore case.
    const name = task.name.toLowerCase();
    const first = named.get(name);
    if (first === undefined) named.set(name, i);
    else errors.push({ pointer: `${at}/name`, detail: `${quote(task.name)} is the name of tasks/${first} already` });
    if (!models.includes(task.model)) {
      const detail = `${quote(task.model)} is none of the recipe’s models${suggest(task.model, models)}`;
      errors.push({ pointer: `${at}/model`, detail });
    }
    if (isTuned && task.data === undefined) {
      errors.push({ pointer: `${at}/data`, detail: `${method.name} learns from data: each task needs it` });
    } else if (task.data === undefined && task.evaluation === undefined) {
      errors.push({ pointer: `${at}/evaluation`, detail: 'a task needs `data` or `evaluation`' });
    }
  });
  return errors;
}
