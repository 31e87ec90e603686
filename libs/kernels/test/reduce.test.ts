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
