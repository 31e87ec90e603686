import fc from 'fast-check';
import { expect, test } from 'vitest';
import { reducePairwise } from '../src/reduce.js';

test('a sum does not depend on how leaves are dealt out to chunks of a power of two', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 })),
      fc.nat(6),
      (leaves, j) => {
        const size = 2 ** j;
        const chunks: number[] = [];
        for (let i = 0; i < leaves.length; i += size) chunks.push(reducePairwise(leaves.slice(i, i + size)));
        expect(reducePairwise(chunks)).toBe(reducePairwise(leaves));
      },
    ),
  );
});

test('neighbours are added level by level, and the leaves stay as they are', () => {
  const leaves = Float64Array.of(1, 2 ** 53, -(2 ** 53), 1, 3);
  expect(reducePairwise(leaves)).toBe(1 + 2 ** 53 + (-(2 ** 53) + 1) + 3);
  expect([...leaves]).toEqual([1, 2 ** 53, -(2 ** 53), 1, 3]);
  expect(reducePairwise([])).toBe(0);
});
