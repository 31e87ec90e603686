import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as select from '../src/twins/select.js';
import { a, b, c, histogram, kernels, ops, plain, put, readWords, word, words } from './twin-memory.js';

describe('selection is equal to its twins', () => {
  const key = fc.oneof(word, plain).map((bits) => bits & 0x7fffffff);

  test('countMagnitudes with its histogram, countEqual, findEqual, keepBand', () => {
    fc.assert(
      fc.property(words, key, key, fc.nat(40), (src, k1, k2, pick) => {
        const n = src.length;
        const [low, high] = k1 < k2 ? [k1, k2] : [k2, k1];
        const shift = Math.max(0, Math.ceil(Math.log2((high - low) / 32768 + 1)));
        put(a, src);
        kernels.words(histogram, 65536).fill(0);
        const expected = new Uint32Array(65536);
        const count = select.countMagnitudes(src, low, high, shift, expected);
        const common = low < high && pick % 2 === 0 ? low + (pick % (high - low)) : -1;
        expect(ops.countMagnitudes(a, n, low, high, shift, histogram, common)).toBe(count);
        expect(kernels.words(histogram, 65536).every((x, i) => x === expected[i])).toBe(true);

        const one = n > 0 ? src[pick % n]! & 0x7fffffff : k1;
        const equal = select.countEqual(src, one);
        expect(ops.countEqual(a, n, one)).toBe(equal);
        for (const nth of [1, equal, equal + 1]) {
          if (nth > 0) expect(ops.findEqual(a, n, one, nth)).toBe(select.findEqual(src, one, nth));
        }
        for (const [inner, outer] of [
          [one, 0x7fffffff],
          [one - 1, 0x7fffffff],
          [-1, one],
          [-1, one - 1],
          [low, high],
          [-1, 0x7fffffff],
          [0x7fffffff, 0x7fffffff],
          [high, low],
        ] as const) {
          put(b, src);
          const band = src.slice();
          const kept = select.keepBand(band, inner, outer);
          const squares = ops.sumSquares(b, n);
          expect(ops.keepBand(b, n, inner, outer, c)).toBe(squares);
          expect(kernels.words(c, 1)[0]).toBe(kept);
          expect(readWords(b, n)).toEqual(band);
        }
      }),
      { numRuns: 300 },
    );
  });
});
