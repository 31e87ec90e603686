import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Kernels } from '../src/kernels.js';
import * as twin from '../src/twins/unify.js';

const kernels = new Kernels();
const { ops } = kernels;
const ROOM = 96;
const STRIDE = ROOM * 4;
const deltas = kernels.allocate(STRIDE * 5);
const out = kernels.allocate(STRIDE);
const bits = kernels.allocate(ROOM / 8);

const floatOf = (word: number) => new Float32Array(Uint32Array.of(word).buffer)[0]!;
const value = fc.oneof(
  fc.integer({ min: -6, max: 6 }).map((x) => x / 4),
  fc.constantFrom(0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-45, -1e-45),
  fc.nat(0xffffffff).map(floatOf),
);
const vectors = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.nat(70)).chain(([count, n]) =>
  fc.array(
    fc.array(value, { minLength: n, maxLength: n }).map((list) => Float32Array.from(list)),
    { minLength: count, maxLength: count },
  ),
);

/** Numbers with NaN as one and -0 as another. */
const plain = (list: Float32Array) => [...list];

test('unify, takeAgreed, sumShared and packNonzero are equal to their twins', () => {
  fc.assert(
    fc.property(vectors, (list) => {
      const n = list[0]!.length;
      const padded = Math.ceil(n / 4) * 4;
      list.forEach((vector, k) => {
        kernels.floats(deltas + k * STRIDE, ROOM).fill(0);
        kernels.floats(deltas + k * STRIDE, n).set(vector);
      });
      ops.unify(deltas, STRIDE, list.length, out, padded);
      const unified = new Float32Array(n);
      twin.unify(list, unified);
      expect(plain(kernels.floats(out, n))).toEqual(plain(unified));

      list.forEach((vector, k) => {
        const at = deltas + k * STRIDE;
        const taken = vector.slice();
        const shared = ops.sumShared(at, out, padded);
        ops.takeAgreed(at, out, padded);
        twin.takeAgreed(taken, unified);
        expect(plain(kernels.floats(at, n))).toEqual(plain(taken));
        expect(shared).toBe(ops.sumMagnitudes(at, n));
        expect(shared).toBe(twin.sumShared(vector, unified));

        const packed = new Uint8Array(Math.ceil(n / 8));
        twin.packNonzero(taken, packed);
        kernels.bytes(bits, packed.length).fill(0xff);
        ops.packNonzero(at, bits, n);
        expect(kernels.bytes(bits, packed.length)).toEqual(packed);
      });
    }),
    { numRuns: 300 },
  );
});
