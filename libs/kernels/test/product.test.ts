import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Kernels } from '../src/kernels.js';
import { addProduct, addProductTransposed } from '../src/twins/product.js';

const kernels = new Kernels();
const ROOM = 64 * 64;
const [a, b, c] = [0, 1, 2].map(() => kernels.allocate(ROOM * 4)) as [number, number, number];

const size = fc.integer({ min: 0, max: 23 });
const columns = fc.integer({ min: 1, max: 6 }).map((quads) => quads * 4);
const filled = (count: number, seed: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(seed + i * 1.7) * 2 ** ((i * 7 + seed) % 9));

test('products are bit-equal to their twins, for any sizes', () => {
  fc.assert(
    fc.property(size, size, columns, fc.nat(1000), (m, k, n, seed) => {
      for (const [kernel, twin, inner, rows] of [
        [kernels.ops.addProduct, addProduct, k * n, m],
        [kernels.ops.addProductTransposed, addProductTransposed, m * n, k],
      ] as const) {
        const [left, right, sum] = [filled(m * k, seed), filled(inner, seed + 1), filled(rows * n, seed + 2)];
        kernels.floats(a, left.length).set(left);
        kernels.floats(b, right.length).set(right);
        kernels.floats(c, sum.length).set(sum);
        kernel(a, b, c, m, k, n);
        twin(left, right, sum, m, k, n);
        expect(kernels.floats(c, sum.length)).toEqual(sum);
      }
    }),
  );
});

test('rows may be dealt out over calls', () => {
  const [m, k, n] = [11, 9, 8];
  const [left, right] = [filled(m * k, 1), filled(m * n, 2)];
  const whole = new Float32Array(k * n);
  addProductTransposed(left, right, whole, m, k, n);
  kernels.floats(c, k * n).fill(0);
  for (const [from, to] of [
    [0, 4],
    [4, 5],
    [5, 11],
  ] as const) {
    kernels.floats(a, (to - from) * k).set(left.subarray(from * k, to * k));
    kernels.floats(b, (to - from) * n).set(right.subarray(from * n, to * n));
    kernels.ops.addProductTransposed(a, b, c, to - from, k, n);
  }
  expect(kernels.floats(c, k * n)).toEqual(whole);
});
