import { isAmalgamError, type Recipe, type RecipeTask } from '@amalgam/contracts';
import { describe, expect, test } from 'vitest';
import { resolveRecipe } from '../src/index.js';

const task = (more: Partial<RecipeTask> = {}): RecipeTask => ({
  name: 'digits',
  model: 'm1',
  graph: 'g',
  data: 'd',
  ...more,
});

const recipe = (more: Partial<Recipe> = {}): Recipe => ({
  method: 'adamerging',
  base: 'm0',
  models: [{ model: 'm1' }, { model: 'm2' }],
  tasks: [task()],
  ...more,
});

function problems(of: Recipe) {
  try {
    resolveRecipe(of);
  } catch (error) {
    if (isAmalgamError(error) && error.code === 'invalid_recipe') return error.errors;
    throw error;
  }
  return [];
}

describe('tasks of a recipe', () => {
  test('several may share a model, and a model may have none', () => {
    expect(problems(recipe({ tasks: [task(), task({ name: 'shapes' })] }))).toEqual([]);
  });

  test('a method that learns from data needs them, others do not', () => {
    const { tasks: _, ...without } = recipe();
    expect(problems(without)).toEqual([
      { pointer: '/tasks', detail: 'adamerging learns from data: it needs at least one task' },
    ]);
    expect(problems({ ...without, method: 'ties' })).toEqual([]);
  });

  test('names differ, also where case is ignored', () => {
    expect(problems(recipe({ tasks: [task(), task({ name: 'x' }), task({ name: 'DIGITS' })] }))).toEqual([
      { pointer: '/tasks/2/name', detail: '"DIGITS" is the name of tasks/0 already' },
    ]);
  });

  test('a model is among the recipe’s', () => {
    expect(problems(recipe({ tasks: [task({ model: 'm0' })] }))).toEqual([
      { pointer: '/tasks/0/model', detail: '"m0" is none of the recipe’s models; did you mean "m1"?' },
    ]);
  });

  test('tuning needs `data`, evaluation `data` or `evaluation`', () => {
    const { data: _, ...bare } = task();
    const tuned = { pointer: '/tasks/0/data', detail: 'adamerging learns from data: each task needs it' };
    expect(problems(recipe({ tasks: [bare] }))).toEqual([tuned]);
    expect(problems(recipe({ tasks: [{ ...bare, evaluation: 'e' }] }))).toEqual([tuned]);
    const ties = (given: RecipeTask) => problems(recipe({ method: 'ties', tasks: [given] }));
    expect(ties(bare)).toEqual([{ pointer: '/tasks/0/evaluation', detail: 'a task needs `data` or `evaluation`' }]);
    expect(ties({ ...bare, evaluation: 'e' })).toEqual([]);
    expect(ties(task())).toEqual([]);
  });

  test('every problem is told at once, with those of the parameters', () => {
    const found = problems(
      recipe({ parameters: { steps: 0, granularty: 'task' }, tasks: [task({ model: 'x' }), task({ model: 'y' })] }),
    );
    expect(found.map(({ pointer }) => pointer)).toEqual([
      '/parameters/granularty',
      '/parameters/steps',
      '/tasks/0/model',
      '/tasks/1/name',
      '/tasks/1/model',
    ]);
  });
});
