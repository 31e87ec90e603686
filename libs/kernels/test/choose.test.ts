import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Kernels } from '../src/kernels.js';
import * as choose from '../src/twins/choose.js';

const kernels = new Kernels();
const { ops } = kernels;
const STRIDE = 320 * 4;
const deltas = kernels.allocate(STRIDE * 5);
const lambdas = kernels.allocate(5 * 4);
const out = kernels.allocate(STRIDE);

const floatOf = (bits: number) => new Float32Array(Uint32Array.of(bits).buffer)[0]!;
const value = fc.oneof(
  fc.integer({ min: -6, max: 6 }).map((x) => x / 4),
  fc.constantFrom(0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
  fc.nat(0xffffffff).map(floatOf),
);
const vectors = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.nat(70)).chain(([count, n]) =>
  fc.array(
    fc.array(value, { minLength: n, maxLength: n }).map((list) => Float32Array.from(list)),
    { minLength: count, maxLength: count },
  ),
);
const put = (list: Float32Array[]) =>
  list.forEach((vector, i) => {
    kernels.floats(deltas + i * STRIDE, 320).fill(0);
    kernels.floats(deltas + i * STRIDE, vector.length).set(vector);
  });

test('keepLarger is equal to its twin, and the later of equal magnitudes stays', () => {
  fc.assert(
    fc.property(vectors, (list) => {
      const n = list[0]!.length;
      put(list);
      const expected = new Uint32Array(list[0]!.slice().buffer);
      for (let k = 1; k < list.length; k++) {
        ops.keepLarger(deltas, deltas + k * STRIDE, Math.ceil(n / 4) * 4);
        choose.keepLarger(expected, new Uint32Array(list[k]!.slice().buffer));
      }
      expect(kernels.words(deltas, n)).toEqual(expected);
    }),
  );
  put([Float32Array.of(2, -2, 0, 1), Float32Array.of(-2, 2, -0, Number.NaN)]);
  ops.keepLarger(deltas, deltas + STRIDE, 4);
  expect([...kernels.floats(deltas, 4)]).toEqual([-2, 2, -0, Number.NaN]);
});

test('sumAgreed is equal to its twin', () => {
  fc.assert(
    fc.property(
      vectors,
      fc.array(fc.constantFrom(0, 0.2, 0.5, 1, 3), { minLength: 5, maxLength: 5 }),
      fc.nat(6),
      (list, own, least) => {
        const n = list[0]!.length;
        put(list);
        kernels.floats(lambdas, 5).set(own);
        ops.sumAgreed(deltas, STRIDE, list.length, lambdas, least, out, Math.ceil(n / 4) * 4);
        const expected = new Float32Array(n);
        choose.sumAgreed(list, own, least, expected);
        expect(kernels.floats(out, n)).toEqual(expected);
      },
    ),
  );
});
