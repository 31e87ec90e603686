import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Kernels } from '../src/kernels.js';
import { rowImportance } from '../src/twins/importance.js';

const kernels = new Kernels();
const { ops } = kernels;
const MOST = 4096;
const [base, delta] = [kernels.allocate(MOST * 4), kernels.allocate(MOST * 4)];
const scratch = kernels.allocate(4096 + 16 * MOST);
const known = kernels.allocate(24);

function importances(from: Float32Array, change: Float32Array, c: number, known?: number): Float32Array {
  kernels.floats(base, from.length).set(from);
  kernels.floats(delta, from.length).set(change);
  ops.rowImportance(base, delta, from.length / c, c, scratch, known ?? 0);
  return kernels.floats(delta, from.length).slice();
}

const upTo = (most: number) => fc.float({ min: Math.fround(-most), max: Math.fround(most), noNaN: true });
/** Bases and task vectors of any size, and small and smaller ones, for which the kernel has shorter ways. */
const [bases, changes] = [[200, 0.2, 0.17].map(upTo), [200, 0.3, 0.015].map(upTo)];
const matrix = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 4 })).chain(([c, rows]) =>
  fc.tuple(
    fc.constant(c),
    fc
      .tuple(fc.constantFrom(...bases), fc.constantFrom(...changes))
      .chain((pair) => fc.array(fc.tuple(...pair), { minLength: c * rows, maxLength: c * rows })),
  ),
);

describe('rowImportance', () => {
  test('is equal to its twin within rounding; softmax does not overflow', () => {
    fc.assert(
      fc.property(matrix, ([c, pairs]) => {
        const from = Float32Array.from(pairs, (pair) => pair[0]);
        const change = Float32Array.from(pairs, (pair) => pair[1]);
        const expected = change.slice();
        rowImportance(from, expected, c);
        importances(from, change, c).forEach((x, i) => {
          // The terms of a divergence cancel: its error is a share of them, not of it.
          const error = 1e-13 * Math.max(1, Math.abs(change[i]!));
          expect(Math.abs(x - expected[i]!)).toBeLessThanOrEqual(1e-6 * expected[i]! + error);
        });
      }),
      { numRuns: 300 },
    );
  });

  test('resolves small divergences: of a uniform row and a change that alternates, close to half its square', () => {
    const c = 1024;
    for (const size of [2 ** -7, 2 ** -10, 2 ** -14]) {
      const change = Float32Array.from({ length: c }, (_, i) => (i % 2 === 0 ? size : -size));
      const [first] = importances(new Float32Array(c), change, c);
      // Probabilities are (1 ± tanh(size)) / c; 1e-8 is added to 1 / c. KL of the pair is size tanh(size) - ln cosh(size).
      const exact = size * Math.tanh(size) - Math.log(Math.cosh(size));
      expect(Math.abs(first! / size / exact - 1)).toBeLessThan(2e-5);
    }
  });

  test('a row with NaN is NaN, and its neighbours are not', () => {
    const c = 7;
    const change = new Float32Array(3 * c).fill(0.25, 0, 3).fill(0.25, 14, 17);
    change[9] = Number.NaN;
    const got = importances(new Float32Array(3 * c).fill(1), change, c);
    expect([...got].map(Number.isNaN)).toEqual(Array.from({ length: 3 * c }, (_, i) => i >= c && i < 2 * c));
  });

  test('a row with NaN or infinity is NaN in every way of the kernel', () => {
    for (const change of [1, 2 ** -10]) {
      for (const odd of [Number.NaN, Number.POSITIVE_INFINITY]) {
        const row = (at: number) => Float32Array.from({ length: 9 }, (_, i) => (i === at ? odd : i / 64));
        for (const at of [0, 5, 8]) {
          const got = importances(row(at), new Float32Array(9).fill(change, 2), 9);
          expect([...got]).toEqual(new Array(9).fill(Number.NaN));
        }
      }
    }
  });

  test('a base of minus infinity weighs nothing', () => {
    const [from, change] = [Float32Array.from({ length: 8 }, (_, i) => i / 64), new Float32Array(8).fill(0.01, 3)];
    const without = importances(from.slice(0, 7), change.slice(0, 7), 7);
    from[7] = Number.NEGATIVE_INFINITY;
    importances(from, change, 8)
      .slice(0, 7)
      .forEach((x, i) => {
        expect(Math.abs(x - without[i]!)).toBeLessThanOrEqual(1e-5 * without[i]!);
      });
  });

  test('what is known of rows is taken, and what is not is written', () => {
    const c = 9;
    const from = Float32Array.from({ length: c * 3 }, (_, i) => Math.sin(i));
    const change = Float32Array.from({ length: c * 3 }, (_, i) => Math.cos(i) / 8);
    const numbers = () => new Float64Array(kernels.bytes(known, 24).buffer, known, 3);
    numbers().set([Number.NaN, 2, Number.NaN]);
    const plain = importances(from, change, c);
    const got = importances(from, change, c, known);
    expect(got.slice(0, c)).toEqual(plain.slice(0, c));
    expect(got.slice(c, 2 * c)).toEqual(change.slice(c, 2 * c).map((x) => 2 * Math.abs(x)));
    expect(numbers()[1]).toBe(2);
    expect(importances(from, change, c, known)).toEqual(got);
    expect(Math.fround(numbers()[2]! * Math.abs(change[2 * c]!))).toBe(plain[2 * c]);
  });

  test('a row is the same wherever it lies', () => {
    const c = 13;
    const from = Float32Array.from({ length: c * 5 }, (_, i) => Math.sin((i % c) * 7));
    const change = Float32Array.from({ length: c * 5 }, (_, i) => Math.cos((i % c) * 5) / 20);
    const got = importances(from, change, c);
    for (let row = 1; row < 5; row++) expect(got.slice(row * c, (row + 1) * c)).toEqual(got.slice(0, c));
  });
});
