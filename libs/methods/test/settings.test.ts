import type { Recipe } from '@amalgam/contracts';
import { expect, it, vi } from 'vitest';
import { resolveRecipe } from '../src/index.js';

const schemas = vi.hoisted(() => new Set<unknown>());
vi.mock(import('@amalgam/contracts'), async (original) => {
  const contracts = await original();
  const validate: typeof contracts.validate = (schema, ...rest) => {
    schemas.add(schema);
    return contracts.validate(schema, ...rest);
  };
  return { ...contracts, validate };
});

// The validator compiles each schema object that it meets, which takes milliseconds, and keeps it for ever.
it('gives the validator the same schemas for every recipe of a method', () => {
  const recipe: Recipe = { method: 'linear', models: [{ model: 'a' }, { model: 'b' }] };
  resolveRecipe(recipe);
  const { size } = schemas;
  expect(size).toBeGreaterThan(0);
  for (let i = 1; i < 10; i++)
    resolveRecipe({ ...recipe, models: [...recipe.models, { model: `c${i}`, parameters: { weight: i } }] });
  expect(schemas.size).toBe(size);
});
