import { checkpointFromInventory } from '@amalgam/tensors';
import { expect, it } from 'vitest';
import { DescriptionCache } from '../src/index.js';

function described(tensors: number, config: Record<string, unknown> | null = null) {
  const inventory = Array.from({ length: tensors }, (_, i) => ({
    name: `w${i}`,
    dtype: 'F32' as const,
    shape: [1],
    file: 'model.safetensors',
    begin: 8 + 4 * i,
  }));
  return checkpointFromInventory([{ path: 'model.safetensors', bytes: 8 + 4 * tensors }], inventory, 'test', {
    config,
    adapterConfig: null,
  });
}

it('keeps what was used last, as many tensors as it may', () => {
  const cache = new DescriptionCache(10);
  const four = described(4);
  cache.set('a', four);
  cache.set('b', described(4));
  expect(cache.get('a')).toBe(four);
  cache.set('c', described(4));
  expect([cache.get('a'), cache.get('b') === undefined, cache.get('c') === undefined]).toEqual([four, true, false]);
  cache.set('a', described(10));
  expect(cache.get('c')).toBeUndefined();
  expect(cache.get('a')?.tensors.size).toBe(10);
});

it('does not keep one that is larger than all that it may keep', () => {
  const cache = new DescriptionCache(10);
  cache.set('small', described(3));
  cache.set('large', described(11));
  expect(cache.get('large')).toBeUndefined();
  expect(cache.get('small')).toBeDefined();
});

it('counts what configs take', () => {
  const cache = new DescriptionCache(20);
  cache.set('a', described(4));
  cache.set('b', described(4, { names: 'x'.repeat(1500) }));
  expect([cache.get('a'), cache.get('b') === undefined]).toEqual([undefined, false]);
});
