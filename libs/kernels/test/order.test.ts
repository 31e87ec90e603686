import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Kernels } from '../src/kernels.js';
import * as order from '../src/twins/order.js';

const kernels = new Kernels();
const { ops } = kernels;
const BINS = 4096;
const data = kernels.allocate(400 * 4);
const histogram = kernels.allocate(BINS * 4);

const SPECIAL = [0, 0x80000000, 1, 0x80000001, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7fffffff, 0xffffffff];
const small = fc.integer({ min: -6, max: 6 }).map((x) => new Uint32Array(Float32Array.of(x / 4).buffer)[0]!);
const word = fc.oneof(fc.constantFrom(...SPECIAL), fc.nat(0xffffffff), small);
const words = fc.array(word, { maxLength: 300 }).map((list) => Uint32Array.from(list));

const floatOf = (bits: number) => new Float32Array(Uint32Array.of(bits).buffer)[0]!;

test('order keys order values, and -0 is +0', () => {
  fc.assert(
    fc.property(word, word, (a, b) => {
      const [x, y] = [floatOf(a), floatOf(b)];
      if (Number.isNaN(x) || Number.isNaN(y)) return;
      expect(order.orderKey(a) < order.orderKey(b)).toBe(x < y);
      expect(order.orderKey(a) === order.orderKey(b)).toBe(x === y);
    }),
  );
  const top = order.orderKey(0x7f800000);
  expect(order.orderKey(0x7fc00000)).toBeGreaterThan(top);
});

test('the kernels of order.ts are equal to their twins', () => {
  const key = word.map(order.orderKey);
  fc.assert(
    fc.property(words, key, key, fc.nat(40), (src, k1, k2, pick) => {
      const n = src.length;
      const [low, high] = k1 < k2 ? [k1, k2] : [k2, k1];
      // Of several keys a bin is two words.
      const shift = Math.max(0, Math.ceil(Math.log2((2 * (high - low)) / BINS + 1)));
      kernels.words(data, n).set(src);
      kernels.words(histogram, BINS).fill(0);
      const expected = new Uint32Array(BINS);
      expect(ops.countOrdered(data, n, low, high, shift, histogram)).toBe(
        order.countOrdered(src, low, high, shift, expected),
      );
      expect(kernels.words(histogram, BINS)).toEqual(expected);

      const one = n > 0 ? order.orderKey(src[pick % n]!) : k1;
      const equal = order.countEqualOrdered(src, one);
      expect(ops.countEqualOrdered(data, n, one)).toBe(equal);
      for (const nth of [1, equal, equal + 1]) {
        if (nth > 0) expect(ops.findEqualOrdered(data, n, one, nth)).toBe(order.findEqualOrdered(src, one, nth));
      }
      expect(ops.largestOrdered(data, n) >>> 0).toBe(order.largestOrdered(src));
      expect(ops.largestMagnitude(data, n)).toBe(order.largestMagnitude(src));
    }),
    { numRuns: 300 },
  );
});
