import { isAmalgamError, Method, type Recipe, validate } from '@amalgam/contracts';
import { describe, expect, test } from 'vitest';
import { describeMethod, getMethod, listMethods, resolveRecipe } from '../src/index.js';

const recipe = (parameters: Record<string, unknown> = {}, models: Recipe['models'] = [{ model: 'a' }]): Recipe => ({
  method: 'adamerging',
  base: 'b',
  models,
  parameters,
  tasks: [{ name: 't', model: 'a', graph: 'g', data: 'd' }],
});

function problems(of: Recipe) {
  try {
    resolveRecipe(of);
  } catch (error) {
    if (isAmalgamError(error)) return error.errors;
    throw error;
  }
  return [];
}

describe('the parameters of adamerging', () => {
  test('defaults are the paper’s', () => {
    expect(resolveRecipe(recipe()).recipe.parameters).toEqual({
      granularity: 'layer',
      sign_resolve: false,
      density: 0.2,
      init: 0.3,
      clamp: [0, 1],
      steps: 500,
      batch_size: 16,
      batches_per_step: 1,
      learning_rate: 0.001,
      sampling: 'shuffle',
      seed: 0,
      loss: 'entropy',
      task_vector_dtype: 'float32',
    });
  });

  test('what the recipe says reaches the settings of the tuning', () => {
    const given = {
      granularity: 'task',
      sign_resolve: true,
      density: 0.5,
      init: -2,
      clamp: null,
      steps: 7,
      batch_size: 2,
      batches_per_step: 3,
      learning_rate: 0.1,
      sampling: 'sequential',
      seed: 4,
      task_vector_dtype: 'bfloat16',
    };
    const { method, settings } = resolveRecipe(recipe(given));
    expect(method.tuned?.(settings)).toEqual({
      granularity: 'task',
      signResolve: true,
      density: 0.5,
      init: -2,
      clamp: null,
      steps: 7,
      batchSize: 2,
      batchesPerStep: 3,
      learningRate: 0.1,
      sampling: 'sequential',
      seed: 4,
      loss: 'entropy',
      taskVectorDtype: 'bfloat16',
    });
  });

  test('only the ++ variant trims', () => {
    const trimOf = (parameters: Record<string, unknown>) => {
      const { method, settings } = resolveRecipe(recipe(parameters, [{ model: 'a' }, { model: 'c' }]));
      return method.sparsify?.(settings);
    };
    expect(trimOf({ density: 0.4 })).toBeNull();
    expect(trimOf({ sign_resolve: true, density: 0.4 })).toEqual({
      by: 'magnitude',
      scope: 'model',
      densities: [0.4, 0.4],
      outliers: [0, 0],
    });
  });

  test.each([
    ['clamp', [1, 0], '/parameters/clamp', '1 must not exceed 0'],
    ['clamp', [0, 0.2], '/parameters/init', '0.3 lies outside clamp [0, 0.2]'],
    ['clamp', [0], '/parameters/clamp', 'must NOT have fewer than 2 items'],
    ['clamp', [0, '1'], '/parameters/clamp/1', 'must be number, not string'],
    ['clamp', false, '/parameters/clamp', 'must be array or null, not boolean'],
    ['steps', 0, '/parameters/steps', 'must be >= 1, not 0'],
    ['batch_size', 0, '/parameters/batch_size', 'must be >= 1, not 0'],
    ['batches_per_step', 1.5, '/parameters/batches_per_step', 'must be integer, not number'],
    ['learning_rate', 0, '/parameters/learning_rate', 'must be > 0, not 0'],
    ['density', 0, '/parameters/density', 'must be > 0, not 0'],
    ['init', Number.NaN, '/parameters/init', 'must be a finite number, not NaN'],
    ['seed', -1, '/parameters/seed', 'must be >= 0, not -1'],
    ['loss', 'accuracy', '/parameters/loss', 'must be one of entropy'],
    ['granularity', 'tensor', '/parameters/granularity', 'must be one of layer, task'],
    ['weight', 1, '/parameters/weight', 'unknown key "weight"'],
  ])('%s %j is refused', (key, value, pointer, detail) => {
    const [first, ...others] = problems(recipe({ [key]: value }));
    expect(first).toMatchObject({ pointer, detail: expect.stringContaining(detail) });
    expect(others).toEqual([]);
  });

  test('models have none of their own', () => {
    expect(problems(recipe({}, [{ model: 'a', parameters: { weight: 1 } }]))[0]).toMatchObject({
      pointer: '/models/0/parameters/weight',
    });
  });
});

test('every method’s description is what the API promises; those that learn from data say so', () => {
  for (const method of listMethods()) {
    expect(validate(Method, JSON.parse(JSON.stringify(describeMethod(method))))).toMatchObject({ ok: true });
  }
  expect(describeMethod(getMethod('adamerging')).needs_tasks).toBe(true);
  expect(describeMethod(getMethod('ties')).needs_tasks).toBe(false);
});
