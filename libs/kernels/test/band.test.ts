import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Kernels } from '../src/kernels.js';
import * as twins from '../src/twins/band.js';
import { bitsOf } from '../src/twins/convert.js';

const kernels = new Kernels();
const { ops } = kernels;
const MOST = 4096;
const data = kernels.allocate(MOST * 4);
const marks = kernels.allocate(MOST * 4);
const count = kernels.allocate(4);
/** Never cleared: what calls before left may not matter. */
const known = kernels.allocate(16);

const special = fc.constantFrom(0, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7fffffff, 0xffffffff, 1);
/** Few values, as differences of bfloat16 have; distinct ones of one size, as a row's mostly are; and any bits. */
const bits = fc.oneof(
  special,
  fc.integer({ min: -4, max: 4 }).map(bitsOf),
  fc.float({ min: Math.fround(-0.01), max: Math.fround(0.01), noNaN: true }).map(bitsOf),
  fc.nat(0xffffffff),
);
const matrix = fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 400 })).chain(([rows, c]) =>
  fc.record({
    rows: fc.constant(rows),
    c: fc.constant(c),
    values: fc
      .constantFrom(bits, special, fc.nat(0xffffffff))
      .chain((one) => fc.array(one, { minLength: rows * c, maxLength: rows * c })),
  }),
);

describe('kernels over bands of rows are equal to their twins', () => {
  test('markBand: rows of any length, any counts, equal magnitudes', () => {
    fc.assert(
      fc.property(matrix, fc.nat(400), fc.nat(400), ({ rows, c, values }, a, b) => {
        const kept = a % (c + 1);
        const outliers = b % (c - kept + 1);
        const expected = Uint32Array.from(values);
        kernels.words(data, values.length).set(expected);
        for (let r = 0; r < rows; r++) twins.markBand(expected.subarray(r * c, (r + 1) * c), kept, outliers);
        ops.markBand(data, rows, c, kept, outliers, marks, known);
        expect([...kernels.words(data, values.length)]).toEqual(values);
        const got = kernels.words(marks, values.length).slice();
        expect(got).toEqual(expected);
        expect(got.filter((mark) => mark !== 0).length).toBe(kept * rows);
      }),
      { numRuns: 500 },
    );
  });

  test('markBand: what rows before held does not matter', () => {
    const row = (scale: number) => Array.from({ length: 97 }, (_, i) => scale * ((i * 31) % 97));
    kernels.floats(data, 4 * 97).set([1, 1e-30, 1e30, 0].flatMap(row));
    ops.markBand(data, 4, 97, 10, 3, marks, known);
    const counts = [0, 1, 2, 3].map((r) =>
      kernels.words(marks + r * 97 * 4, 97).reduce((sum, mark) => sum + (mark === 0 ? 0 : 1), 0),
    );
    expect(counts).toEqual([10, 10, 10, 10]);
    expect(kernels.words(marks, 97)).toEqual(kernels.words(marks + 97 * 4, 97));
    expect([...kernels.words(marks + 3 * 97 * 4, 97)].findLastIndex((mark) => mark !== 0)).toBe(12);
  });

  test('keepMarked', () => {
    const pairs = fc.array(fc.tuple(fc.nat(0xffffffff), fc.constantFrom(0, 0xffffffff)), { maxLength: 100 });
    fc.assert(
      fc.property(pairs, (list) => {
        const expected = Uint32Array.from(list, ([word]) => word);
        const own = Uint32Array.from(list, ([, mark]) => mark);
        kernels.words(data, list.length).set(expected);
        kernels.words(marks, list.length).set(own);
        const kept = twins.keepMarked(expected, own);
        const squares = ops.sumSquares(data, list.length);
        expect(ops.keepMarked(data, marks, list.length, count)).toBe(squares);
        expect(kernels.words(count, 1)[0]).toBe(kept);
        expect(kernels.words(data, list.length)).toEqual(expected);
      }),
    );
  });
});
