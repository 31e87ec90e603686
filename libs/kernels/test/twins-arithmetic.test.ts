import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as arithmetic from '../src/twins/arithmetic.js';
import * as convert from '../src/twins/convert.js';
import * as select from '../src/twins/select.js';
import { a, b, c, canonical, floats, histogram, kernels, ops, put, readFloats, word } from './twin-memory.js';

describe('arithmetic is bit-equal to its twins', () => {
  const factor = fc.oneof(fc.constantFrom(0, -0, 1, -1, 0.3, 1e38, 1e-40), fc.float({ noNaN: true }));

  test('subtract, scale, accumulate, divide, addScaled, limitMagnitude, sumSquares, sumMagnitudes, dot', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(word, word), { maxLength: 300 }), factor, (pairs, w) => {
        const x = Uint32Array.from(pairs, (p) => p[0]);
        const y = Uint32Array.from(pairs, (p) => p[1]);
        const n = pairs.length;
        const [fx, fy] = [floats(x), floats(y)];
        const check = (twin: (dst: Float32Array) => void, kernel: () => void) => {
          put(a, x);
          put(b, y);
          put(c, y);
          const expected = floats(y);
          twin(expected);
          kernel();
          expect(canonical(readFloats(c, n))).toEqual(canonical(expected));
        };
        check(
          (dst) => arithmetic.subtract(fx, fy, dst),
          () => ops.subtract(a, b, c, n),
        );
        check(
          (dst) => arithmetic.scale(fx, w, dst),
          () => ops.scale(a, w, c, n),
        );
        check(
          (dst) => arithmetic.accumulate(fx, w, dst),
          () => ops.accumulate(a, w, c, n),
        );
        check(
          (dst) => arithmetic.divide(fx, w, dst),
          () => ops.divide(a, w, c, n),
        );
        check(
          (dst) => arithmetic.addScaled(fx, fy, w, dst),
          () => ops.addScaled(a, b, w, c, n),
        );
        check(
          (dst) => arithmetic.limitMagnitude(dst, w, 1e-6),
          () => ops.limitMagnitude(c, w, 1e-6, n),
        );
        expect(ops.sumSquares(a, n)).toEqual(arithmetic.sumSquares(fx));
        expect(ops.sumMagnitudes(a, n)).toEqual(arithmetic.sumMagnitudes(fx));
        put(b, y);
        expect(ops.dot(a, b, n)).toEqual(arithmetic.dot(fx, fy));
        expect(ops.dot(a, a, n)).toEqual(arithmetic.sumSquares(fx));
      }),
      { numRuns: 300 },
    );
  });
});

describe('kernels over raw bfloat16 equal widening first', () => {
  test('subtractBF16 and countDifferencesBF16', () => {
    const half = fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 0x8000, 0x7f80, 0xff80, 0x7fc0, 0x3f80, 0xbf80, 1));
    const pairs = fc.array(fc.tuple(half, half), { maxLength: 300 });
    fc.assert(
      fc.property(pairs, fc.nat(0x7fffffff), fc.nat(0x7fffffff), (list, k1, k2) => {
        const n = list.length;
        const [x, y] = [0, 1].map((side) => Uint16Array.from(list, (pair) => pair[side]!)) as [
          Uint16Array,
          Uint16Array,
        ];
        const [wideX, wideY] = [x, y].map((src) => {
          const wide = new Uint32Array(n);
          convert.widenBF16(src, wide);
          return wide;
        }) as [Uint32Array, Uint32Array];
        const expected = new Float32Array(n);
        arithmetic.subtract(floats(wideX), floats(wideY), expected);
        put(a, x);
        put(b, wideY);
        ops.subtractBF16(a, b, c, n);
        expect(canonical(readFloats(c, n))).toEqual(canonical(expected));

        // NaN arithmetic may differ in its payload, and so in its key: compared without.
        if (expected.some(Number.isNaN)) return;
        const [low, high] = k1 < k2 ? [k1, k2] : [k2, k1];
        const shift = Math.max(0, Math.ceil(Math.log2((high - low) / 32768 + 1)));
        const bins = new Uint32Array(65536);
        const count = select.countMagnitudes(new Uint32Array(expected.buffer), low, high, shift, bins);
        put(b, y);
        kernels.words(histogram, 65536).fill(0);
        const seen = new Uint32Array(expected.buffer)[0]! & 0x7fffffff;
        const common = n > 0 && seen >= low && seen < high ? seen : -1;
        expect(ops.countDifferencesBF16(a, b, n, low, high, shift, histogram, common)).toBe(count);
        expect(kernels.words(histogram, 65536).every((bin, i) => bin === bins[i])).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
