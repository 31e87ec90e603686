import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as elect from '../src/twins/elect.js';
import * as overlap from '../src/twins/overlap.js';
import * as rows from '../src/twins/rows.js';
import * as spread from '../src/twins/spread.js';
import { a, b, c, canonical, d, floats, kernels, ops, plain, put, readFloats, readWords, word } from './twin-memory.js';

describe('kernels over several task vectors are bit-equal to their twins', () => {
  const rowsOf = (k: number) =>
    fc.array(
      fc.oneof(fc.array(word, { minLength: k, maxLength: k }), fc.array(plain, { minLength: k, maxLength: k })),
      { maxLength: 80 },
    );
  const deltas = kernels.allocate(5 * 512);
  const weights = kernels.allocate(64);
  /** Puts each column of `rows`, padded with zeros to a multiple of four, where the kernels look for a task vector. */
  const putStreams = (rows: number[][], k: number) => {
    const streams = Array.from({ length: k }, (_, m) => {
      const stream = new Uint32Array(Math.ceil(rows.length / 4) * 4);
      rows.forEach((row, i) => {
        stream[i] = row[m]!;
      });
      return stream;
    });
    streams.forEach((stream, m) => {
      put(deltas + m * 512, stream);
    });
    return streams.map(floats);
  };

  test('electMerge: sum and mean, signs by sum and by count, 1 to 5 models, any weights', () => {
    const models = fc.integer({ min: 1, max: 5 }).chain((k) =>
      fc.tuple(
        rowsOf(k),
        fc.oneof(
          fc.array(fc.oneof(fc.constantFrom(1, 0, -1, 0.5), fc.float({ noNaN: true })), { minLength: k, maxLength: k }),
          // The same for all but the sign: a power of two, from the smallest to the largest.
          fc
            .tuple(
              fc.integer({ min: -149, max: 127 }),
              fc.array(fc.constantFrom(1, -1), { minLength: k, maxLength: k }),
            )
            .map(([power, signs]) => signs.map((sign) => sign * 2 ** power)),
        ),
        fc.boolean(),
        fc.boolean(),
      ),
    );
    fc.assert(
      fc.property(models, ([rows, w, mean, byCount]) => {
        const streams = putStreams(rows, w.length);
        const n = streams[0]!.length;
        kernels.floats(weights, w.length).set(w);
        const expected = new Float32Array(n);
        const conflicts = elect.electMerge(streams, Float32Array.from(w), expected, mean, byCount);
        expect(ops.electMerge(deltas, 512, w.length, weights, d, n, mean, byCount)).toBe(conflicts);
        expect(canonical(readFloats(d, n))).toEqual(canonical(expected));
      }),
      { numRuns: 500 },
    );
  });

  test('electWeighted: 1 to 5 models, weights that are not negative', () => {
    const weight = fc.oneof(fc.constantFrom(1, 0, 0.5, 2 ** -140), fc.float({ noNaN: true, min: 0 }));
    const models = fc
      .integer({ min: 1, max: 5 })
      .chain((k) => fc.tuple(rowsOf(k), fc.array(weight, { minLength: k, maxLength: k })));
    fc.assert(
      fc.property(models, ([rows, w]) => {
        const streams = putStreams(rows, w.length);
        const n = streams[0]!.length;
        kernels.floats(weights, w.length).set(w);
        const expected = new Float32Array(n);
        const conflicts = elect.electWeighted(streams, Float32Array.from(w), expected);
        expect(ops.electWeighted(deltas, 512, w.length, weights, d, n)).toBe(conflicts);
        expect(canonical(readFloats(d, n))).toEqual(canonical(expected));
      }),
      { numRuns: 500 },
    );
  });

  test('elect: 1 to 5 models, in place', () => {
    const models = fc.integer({ min: 1, max: 5 }).chain((k) => fc.tuple(fc.constant(k), rowsOf(k)));
    fc.assert(
      fc.property(models, ([k, rows]) => {
        const streams = putStreams(rows, k);
        const n = streams[0]!.length;
        const conflicts = elect.elect(streams);
        expect(ops.elect(deltas, 512, k, n)).toBe(conflicts);
        streams.forEach((expected, m) => {
          // Bits that stay are not touched, NaN's payload included.
          expect(readWords(deltas + m * 512, n)).toEqual(new Uint32Array(expected.buffer));
        });
      }),
      { numRuns: 500 },
    );
  });

  const cast = fc.integer({ min: 1, max: 5 }).chain((k) => fc.tuple(fc.constant(k), rowsOf(k)));

  test('countOverlaps and mergeOverlaps: 1 to 5 models, any epsilon and factors', () => {
    const epsilons = fc.oneof(fc.constantFrom(0, 0.25, 1e-5), fc.float({ min: 0, noNaN: true }));
    const factors = fc.array(fc.float({ noNaN: true }), { minLength: 5, maxLength: 5 });
    const counts = kernels.allocate(5 * 8);
    fc.assert(
      fc.property(cast, epsilons, factors, ([k, rows], epsilon, list) => {
        const streams = putStreams(rows, k);
        const n = streams[0]!.length;
        kernels.words(counts, 2 * k).fill(7);
        ops.countOverlaps(deltas, 512, k, epsilon, counts, n);
        expect([...readWords(counts, 2 * k)]).toEqual(overlap.countOverlaps(streams, epsilon).map((x) => x + 7));
        kernels.floats(weights, 5).set(list);
        const expected = new Float32Array(n);
        overlap.mergeOverlaps(streams, Float32Array.from(list), epsilon, expected);
        ops.mergeOverlaps(deltas, 512, k, weights, epsilon, d, n);
        expect(canonical(readFloats(d, n))).toEqual(canonical(expected));
      }),
      { numRuns: 500 },
    );
  });

  test('variance, 0 where all are equal, and keepWhere', () => {
    fc.assert(
      fc.property(cast, word, ([k, rows], bits) => {
        const equal = rows.map((row, i) => (i % 3 === 0 ? row.map(() => row[0]!) : row));
        const streams = putStreams(equal, k);
        const n = streams[0]!.length;
        const expected = new Float32Array(n);
        spread.variance(streams, expected);
        ops.variance(deltas, 512, k, d, n);
        expect(canonical(readFloats(d, n))).toEqual(canonical(expected));
        expected.forEach((x, i) => {
          if (i % 3 === 0 && Number.isFinite(streams[0]![i])) expect(x).toBe(0);
        });

        const count = Math.max(0, n - 1);
        const values = readWords(d, count);
        for (const bar of [bits & 0x7fffffff, (values[0] ?? 0) & 0x7fffffff, -1]) {
          const data = readWords(deltas, count);
          put(a, data);
          spread.keepWhere(data, values, bar);
          ops.keepWhere(a, d, count, bar);
          expect(readWords(a, count)).toEqual(data);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('keepVaried: any bar, one that some elements have, ties up to any element', () => {
    fc.assert(
      fc.property(cast, word, fc.nat(130), ([k, rows], bits, ties) => {
        const streams = putStreams(rows, k);
        const n = streams[0]!.length;
        ops.variance(deltas, 512, k, d, n);
        for (const bar of [bits, ...readWords(d, Math.min(n, 3))]) {
          // NaN is NaN, whatever its payload.
          const key = Math.min(bar & 0x7fffffff, 0x7f800000);
          putStreams(rows, k);
          const data = streams.map((_, m) => readWords(deltas + m * 512, n));
          spread.keepVaried(data, key, ties);
          ops.keepVaried(deltas, 512, k, key, ties, n);
          data.forEach((own, m) => {
            expect(readWords(deltas + m * 512, n)).toEqual(own);
          });
        }
      }),
      { numRuns: 200 },
    );
  });

  test('the elected task vectors add up to what electMerge sums', () => {
    fc.assert(
      fc.property(rowsOf(4), (rows) => {
        const n = putStreams(rows, 4)[0]!.length;
        kernels.floats(weights, 4).fill(1);
        const conflicts = ops.electMerge(deltas, 512, 4, weights, d, n, false, false);
        const merged = readFloats(d, n);
        expect(ops.elect(deltas, 512, 4, n)).toBe(conflicts);
        const sums = new Float32Array(n);
        for (let m = 0; m < 4; m++) {
          readFloats(deltas + m * 512, n).forEach((x, i) => {
            sums[i]! += x;
          });
        }
        // NaN of an election without a sign (infinities against each other, say) is not a sum of survivors.
        merged.forEach((x, i) => {
          if (!Number.isNaN(x)) expect(sums[i]).toBe(x);
        });
      }),
      { numRuns: 200 },
    );
  });
});

describe('kernels over rows', () => {
  test('blendEach is bit-equal to its twin, 1 to 3 inputs', () => {
    const entries = fc
      .integer({ min: 1, max: 3 })
      .chain((k) =>
        fc.tuple(fc.constant(k), fc.array(fc.array(word, { minLength: 6, maxLength: 6 }), { maxLength: 80 })),
      );
    fc.assert(
      fc.property(entries, ([k, list]) => {
        const n = list.length;
        const column = (i: number) => Uint32Array.from(list, (entry) => entry[i]!);
        const inputs = Array.from({ length: k }, (_, i) => column(i));
        const factors = Array.from({ length: k }, (_, i) => column(3 + i));
        inputs.forEach((x, i) => {
          put(a + i * 512, x);
        });
        factors.forEach((x, i) => {
          put(b + i * 1024, x);
        });
        const expected = new Float32Array(n);
        rows.blendEach(inputs.map(floats), factors.map(floats), expected);
        ops.blendEach(a, 512, b, 1024, k, c, n);
        expect(canonical(readFloats(c, n))).toEqual(canonical(expected));
      }),
      { numRuns: 300 },
    );
  });
});
