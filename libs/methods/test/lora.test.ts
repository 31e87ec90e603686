import { AmalgamError, type FieldError, type Recipe } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { resolveRecipe } from '../src/index.js';

const adapterOf = (recipe: Recipe) => {
  const { method, settings } = resolveRecipe(recipe);
  return method.adapter?.(settings);
};
const problems = (recipe: Recipe): FieldError[] => {
  try {
    resolveRecipe(recipe);
    return [];
  } catch (error) {
    return error instanceof AmalgamError ? error.errors : [{ pointer: '', detail: String(error) }];
  }
};

describe('merge_lora', () => {
  const recipe = (parameters: Record<string, unknown> = {}, weights: number[] = [1, 1]): Recipe => ({
    method: 'merge_lora',
    models: weights.map((weight, i) => ({ model: `a${i}`, parameters: { weight } })),
    parameters,
  });

  it('adds products up as they are', () => {
    expect(adapterOf(recipe())).toEqual({ kind: 'merge', coefficients: [1, 1], combine: 'products', rank: null });
  });

  it('scales by lambda, and divides by the weights only when it is told to', () => {
    expect(adapterOf(recipe({ lambda: 0.5 }, [1, 3]))).toMatchObject({ coefficients: [0.5, 1.5] });
    expect(adapterOf(recipe({ normalize: true }, [1, 3]))).toMatchObject({ coefficients: [0.25, 0.75] });
  });

  it.each<[string, Recipe, string]>([
    ['a base', { ...recipe(), base: 'b' }, '/base'],
    ['weights that cancel out', recipe({ normalize: true }, [1, -1]), '/parameters/normalize'],
    ['a rank for factors', recipe({ combine: 'factors', rank: 4 }), '/parameters/rank'],
    ['a rank of 0', recipe({ rank: 0 }), '/parameters/rank'],
    ['weights by name', { ...recipe(), parameters: { weight: { value: 1, filter: 'x' } } }, '/parameters/weight'],
  ])('takes no %s', (_, wrong, pointer) => {
    expect(problems(wrong)[0]?.pointer).toBe(pointer);
  });
});

describe('extract_lora', () => {
  const recipe = (parameters: Record<string, unknown> = {}): Recipe => ({
    method: 'extract_lora',
    base: 'b',
    models: [{ model: 'a' }],
    parameters,
  });

  it('has defaults, and takes globs of what is saved whole', () => {
    expect(adapterOf(recipe({ rank: 8, save: ['*norm*'] }))).toEqual({
      kind: 'extract',
      rank: 8,
      save: ['*norm*'],
      seed: 0,
      powerIterations: 2,
      oversampling: 8,
    });
  });

  it('needs a base and one model', () => {
    const { base: _, ...without } = recipe();
    expect(problems(without)).toMatchObject([{ pointer: '/base', detail: 'extract_lora needs a base' }]);
    expect(problems({ ...recipe(), models: [{ model: 'a' }, { model: 'c' }] })[0]?.pointer).toBe('/models');
  });
});
