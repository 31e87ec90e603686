import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Kernels } from '../src/kernels.js';
import { bitsOf, fromBits } from '../src/twins/convert.js';
import * as twins from '../src/twins/rank.js';

const kernels = new Kernels();
const { ops } = kernels;
const MOST = 2048;
const dataAt = kernels.allocate(MOST * 4);
const scratch = kernels.allocate(4096 + 16 * MOST);
const table = kernels.allocate(8 * MOST);
const chances = kernels.allocate(MOST * 4);

function rank(rows: number, c: number, low: number, high: number): Float32Array {
  ops.rankTable(table, c, low, high);
  ops.rankProbabilities(dataAt, rows, c, scratch, table, chances);
  return kernels.floats(chances, rows * c).slice();
}

const value = fc.oneof(
  fc.constantFrom(0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, fromBits(0x7fc00000), 1e-45),
  fc.integer({ min: -4, max: 4 }),
  fc.float(),
);
// Rows on both sides of the length where the way of ordering changes.
const matrix = fc
  .tuple(fc.integer({ min: 1, max: 4 }), fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 28, max: 200 })))
  .chain(([rows, c]) =>
    fc.record({
      rows: fc.constant(rows),
      c: fc.constant(c),
      values: fc.array(value, { minLength: rows * c, maxLength: rows * c }),
    }),
  );

/**
 * Long rows, which are counted in bins: few values, as differences of bfloat16 take, and some between them that share their bins; or
 * rather many of those, and the row is ordered after all.
 */
const near = fc.tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: -3, max: 3 }), fc.boolean());
const longMatrix = fc
  .tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 500, max: 1000 }), fc.constantFrom(0, 1, 3, 30))
  .chain(([rows, c, odd]) => {
    const few = fc.integer({ min: -300, max: 300 }).map((x) => x / 8192);
    const between = near.map(([x, step, sign]) => fromBits(bitsOf(x / 8192) + step) * (sign ? 1 : -1));
    const tiny = fc.constantFrom(0, -0, 2 ** -40, 2 ** -40 + 2 ** -50, 1e-45);
    const entry = fc.oneof(
      { arbitrary: few, weight: 30 },
      { arbitrary: between, weight: odd },
      { arbitrary: tiny, weight: 1 },
    );
    return fc.record({
      rows: fc.constant(rows),
      c: fc.constant(c),
      values: fc.array(entry, { minLength: rows * c, maxLength: rows * c }),
    });
  });

function compare(
  { rows, c, values }: { rows: number; c: number; values: number[] },
  [low, high]: readonly [number, number],
): Float32Array {
  const expected = Float32Array.from(values);
  kernels.floats(dataAt, values.length).set(expected);
  for (let r = 0; r < rows; r++) twins.rankProbabilities(expected.subarray(r * c, (r + 1) * c), low, high);
  const got = rank(rows, c, low, high);
  expect(got).toEqual(expected);
  return got;
}

describe('kernels over rows equal their twins', () => {
  test('rankProbabilities, whose mean over a row is the middle', () => {
    const range = fc.constantFrom([0.1, 0.9], [0.63, 0.77], [0.5, 0.5], [2 ** -30, 1]);
    fc.assert(
      fc.property(matrix, range, (m, [low, high]) => {
        const got = compare(m, [low!, high!]);
        for (let r = 0; r < m.rows; r++) {
          const mean = got.subarray(r * m.c, (r + 1) * m.c).reduce((sum, p) => sum + p, 0) / m.c;
          expect(mean).toBeCloseTo((low! + high!) / 2, 6);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('rankProbabilities of long rows', () => {
    fc.assert(
      fc.property(longMatrix, (m) => {
        compare(m, [0.63, 0.77]);
      }),
      { numRuns: 60 },
    );
  });

  test('rankProbabilities of long rows of equals, of distinct entries, and with infinities', () => {
    const c = 700;
    const rowsOf = {
      equal: () => 0.5,
      zero: () => 0,
      distinct: (i: number) => Math.sin(i + 1),
      infinite: (i: number) => (i % 5 === 0 ? Number.POSITIVE_INFINITY : (i % 9) / 8),
    };
    for (const valueAt of Object.values(rowsOf)) {
      compare({ rows: 1, c, values: Array.from({ length: c }, (_, i) => valueAt(i)) }, [0.25, 0.75]);
    }
  });

  test.each([131063, 131064, 140001])('rankProbabilities of a row of %i entries of four magnitudes', (c) => {
    const long = new Kernels();
    const [data, room, steps, into] = [4 * c, 4096 + 16 * c, 8 * c, 4 * c].map((bytes) => long.allocate(bytes));
    const magnitudes = [0, 0.5, 1, 3];
    const magnitudeOf = (i: number) => (i % 7 === 0 ? 3 : i % 7 === 1 ? 2 : i % 7 === 2 ? 1 : 0);
    long.floats(data!, c).set(Float32Array.from({ length: c }, (_, i) => magnitudes[magnitudeOf(i)]!));
    long.ops.rankTable(steps!, c, 0.2, 0.6);
    long.ops.rankProbabilities(data!, 1, c, room!, steps!, into!);
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < c; i++) counts[magnitudeOf(i)]!++;
    let below = 0;
    const expected = counts.map((count) => {
      const mean = below + (count - 1) / 2;
      below += count;
      return Math.fround(0.2 + (0.6 - 0.2) * (mean / (c - 1)));
    });
    const got = long.floats(into!, c);
    expect(got.every((p, i) => p === expected[magnitudeOf(i)])).toBe(true);
  });

  test('a row of distinct magnitudes: evenly from low to high, whatever the signs', () => {
    kernels.floats(dataAt, 5).set([-5, 1, 3, -2, 4]);
    expect([...rank(1, 5, 0.25, 0.75)]).toEqual([0.75, 0.25, 0.5, 0.375, 0.625]);
  });
});
