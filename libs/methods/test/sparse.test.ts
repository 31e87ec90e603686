import { isAmalgamError, type Recipe } from '@amalgam/contracts';
import { describe, expect, test } from 'vitest';
import { isByRow, keptOf, resolveRecipe } from '../src/index.js';

const recipe = (method: string, parameters: Record<string, unknown> = {}, models: Recipe['models'] = []): Recipe => ({
  method,
  base: 'b',
  models: models.length > 0 ? models : [{ model: 'a' }, { model: 'c' }],
  parameters,
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

const keeps = (of: Recipe) => {
  const { method, settings } = resolveRecipe(of);
  return method.sparsify?.(settings);
};

describe('what a recipe says reaches the sparsification, model by model', () => {
  const models = [{ model: 'a', parameters: { density: 0.4 } }, { model: 'c' }];

  test.each(['dare_linear', 'dare_ties'])('%s', (method) => {
    expect(keeps(recipe(method, { seed: 3, rescale: false }, models))).toEqual({
      by: 'chance',
      densities: [0.4, 0.5],
      rescale: false,
      seed: 3,
    });
  });

  test.each(['della', 'della_linear'])('%s', (method) => {
    expect(keeps(recipe(method, { epsilon: 0.1 }, models))).toEqual({
      by: 'ranked chance',
      densities: [0.4, 0.7],
      epsilons: [0.1, 0.1],
      rescale: true,
      seed: 0,
    });
  });

  test.each(['breadcrumbs', 'breadcrumbs_ties'])('%s', (method) => {
    expect(keeps(recipe(method, { gamma: 0.02, scope: 'row' }, models))).toEqual({
      by: 'magnitude',
      scope: 'row',
      densities: [0.4, 0.15],
      outliers: [0.02, 0.02],
    });
  });

  test.each(['dare_linear', 'dare_ties', 'della', 'della_linear'])(
    '%s: nothing is divided by a probability when sums are restored',
    (method) => {
      expect(keeps(recipe(method, { rescale_by: 'sum' }))).toMatchObject({ rescale: false });
      expect(keeps(recipe(method, { rescale_by: 'probability' }))).toMatchObject({ rescale: true });
    },
  );

  test('only ranks inside rows take whole rows', () => {
    const byRow = (of: Recipe) => isByRow(keeps(of)!);
    expect(byRow(recipe('della'))).toBe(true);
    expect(byRow(recipe('breadcrumbs', { scope: 'row' }))).toBe(true);
    expect(byRow(recipe('breadcrumbs'))).toBe(false);
    expect(byRow(recipe('dare_ties'))).toBe(false);
    expect(byRow(recipe('ties'))).toBe(false);
  });

  test.each([
    ['ties', true],
    ['dare_ties', true],
    ['della', true],
    ['breadcrumbs_ties', true],
    ['dare_linear', false],
    ['task_arithmetic', false],
  ])('%s elects signs: %s', (name, elects) => {
    const { method, settings } = resolveRecipe(recipe(name));
    expect(method.electsSigns?.(settings) ?? false).toBe(elects);
  });
});

describe('a recipe is refused with a pointer', () => {
  test.each([
    ['below 0', { density: 0.1, epsilon: 0.2 }],
    ['at 0, which could not be rescaled', { density: 0.25, epsilon: 0.25 }],
    ['above 1', { density: 0.9, epsilon: 0.2 }],
  ])('probabilities of DELLA %s', (_, parameters) => {
    const models = [{ model: 'a' }, { model: 'c', parameters }];
    for (const method of ['della', 'della_linear']) {
      expect(problems(recipe(method, {}, models))).toEqual([
        { pointer: '/models/1/parameters/epsilon', detail: expect.stringContaining('do not lie in (0, 1]') },
      ]);
    }
  });

  test.each([0, 1])('density %i needs no epsilon that fits', (density) => {
    expect(problems(recipe('della', { density, epsilon: 0.15 }))).toEqual([]);
  });

  test.each([
    ['ties', { density: 0 }, '/parameters/density'],
    ['dare_ties', { density: -0.1 }, '/parameters/density'],
    ['dare_ties', { rescale_by: 'norm' }, '/parameters/rescale_by'],
    ['dare_linear', { seed: -1 }, '/parameters/seed'],
    ['dare_ties', { consensus: 'mean' }, '/parameters/consensus'],
    ['dare_linear', { consensus: 'sum' }, '/parameters/consensus'],
    ['breadcrumbs', { gamma: 1 }, '/parameters/gamma'],
    ['breadcrumbs', { scope: 'layer' }, '/parameters/scope'],
    ['della', { gamma: 0.1 }, '/parameters/gamma'],
  ])('%s with %j', (method, parameters, pointer) => {
    expect(problems(recipe(method, parameters)).map((problem) => problem.pointer)).toEqual([pointer]);
  });

  test.each(['dare_linear', 'della_linear', 'breadcrumbs'])(
    '%s: weights that cancel out cannot be normalised',
    (method) => {
      const models = [
        { model: 'a', parameters: { weight: 1 } },
        { model: 'c', parameters: { weight: -1 } },
      ];
      expect(problems(recipe(method, { normalize: true }, models))).toEqual([
        { pointer: '/parameters/normalize', detail: 'the weights sum to 0, so they cannot be normalised' },
      ]);
    },
  );
});

test.each([
  [200, 0.9, 0.01, { kept: 180, outliers: 2 }],
  [64, 0.9, 0.01, { kept: 57, outliers: 0 }],
  // There are not so many outliers to drop.
  [100, 0.95, 0.1, { kept: 95, outliers: 5 }],
  [100, 1, 0.5, { kept: 100, outliers: 0 }],
  // Something always stays.
  [1, 0.15, 0.9, { kept: 1, outliers: 0 }],
  [3, 0.01, 0.99, { kept: 1, outliers: 2 }],
  [0, 0.5, 0.5, { kept: 0, outliers: 0 }],
])('of %i entries with density %d and outliers %d: %j', (d, density, share, expected) => {
  expect(keptOf(d, density, share)).toEqual(expected);
});
