import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { float8Table } from '../src/float8.js';
import { Kernels } from '../src/kernels.js';
import * as arithmetic from '../src/twins/arithmetic.js';
import * as convert from '../src/twins/convert.js';
import * as elect from '../src/twins/elect.js';
import * as overlap from '../src/twins/overlap.js';
import * as rows from '../src/twins/rows.js';
import * as select from '../src/twins/select.js';
import * as spread from '../src/twins/spread.js';

const kernels = new Kernels();
const { ops } = kernels;
const CAPACITY = 4096;
const [a, b, c, d] = [0, 1, 2, 3].map(() => kernels.allocate(CAPACITY * 8)) as [number, number, number, number];
const histogram = kernels.allocate(65536 * 4);

// Bits where rounding, subnormals, overflow, NaN and signed zeros live, for float32 and for what it narrows to.
const SPECIAL = [
  0, 0x80000000, 1, 0x80000001, 0x007fffff, 0x00800000, 0x3f800000, 0xbf800000, 0x7f7fffff, 0xff7fffff, 0x7f800000,
  0xff800000, 0x7f800001, 0x7fc00000, 0xffc00000, 0x7fffffff, 0x33000000, 0x33000001, 0x33800000, 0x387fe000,
  0x387fc000, 0x387fffff, 0x38800000, 0x38801000, 0x38803000, 0x477fe000, 0x477fefff, 0x477ff000, 0x477fffff,
  0x47800000, 0x3f808000, 0x3f818000, 0x7f7f8000, 0x7f7f7fff, 0x43e80000, 0x43e7ffff, 0x43e00000, 0x43f00000,
  0x3a800000, 0x3b000000, 0x3ac00000, 0x47600000, 0x476fffff, 0x47700000, 0x37800000, 0x37000000, 0x37000001,
  0x36ffffff, 0x3c800000, 0x3c7fffff,
];
const word = fc.oneof(
  { arbitrary: fc.constantFrom(...SPECIAL), weight: 1 },
  { arbitrary: fc.nat(0xffffffff), weight: 2 },
);
// Small numbers near each other: equal magnitudes and exact cancellation happen.
const plain = fc.integer({ min: -8, max: 8 }).map((x) => convert.bitsOf(x / 4));
const words = fc
  .oneof(fc.array(word, { maxLength: 300 }), fc.array(plain, { maxLength: 300 }))
  .map((list) => Uint32Array.from(list));

const put = (pointer: number, data: Uint32Array | Uint16Array | Uint8Array | Float64Array) =>
  kernels.bytes(pointer, data.byteLength).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
const floats = (bits: Uint32Array) => new Float32Array(bits.buffer.slice(0));
/** NaN has many bit patterns and arithmetic may make any; every other value must have the same bits. */
const canonical = (x: Float32Array) => {
  const bits = new Uint32Array(x.length);
  convert.storeF32(new Uint32Array(x.buffer, x.byteOffset, x.length), bits);
  return bits;
};
const readWords = (pointer: number, n: number) => kernels.words(pointer, n).slice();
const readFloats = (pointer: number, n: number) => kernels.floats(pointer, n).slice();

describe('conversions are bit-equal to their twins', () => {
  test('float32 store, bfloat16, float16, float8 and float64 narrowing', () => {
    fc.assert(
      fc.property(words, (src) => {
        const n = src.length;
        put(a, src);
        const expected32 = new Uint32Array(n);
        convert.storeF32(src, expected32);
        ops.storeF32(a, b, n);
        expect(readWords(b, n)).toEqual(expected32);

        const expected16 = new Uint16Array(n);
        const got16 = () => new Uint16Array(kernels.bytes(b, n * 2).slice().buffer);
        convert.narrowBF16(src, expected16);
        ops.narrowBF16(a, b, n);
        expect(got16()).toEqual(expected16);
        convert.narrowF16(src, expected16);
        ops.narrowF16(a, b, n);
        expect(got16()).toEqual(expected16);

        const expected8 = new Uint8Array(n);
        convert.narrowF8(src, expected8, 'E4M3');
        ops.narrowF8E4M3(a, b, n);
        expect(kernels.bytes(b, n).slice()).toEqual(expected8);
        convert.narrowF8(src, expected8, 'E5M2');
        ops.narrowF8E5M2(a, b, n);
        expect(kernels.bytes(b, n).slice()).toEqual(expected8);

        const expected64 = new Float64Array(n);
        convert.narrowF64(src, expected64);
        ops.narrowF64(a, b, n);
        expect(new Float64Array(kernels.bytes(b, n * 8).slice().buffer)).toEqual(expected64);
      }),
      { numRuns: 300 },
    );
  });

  test('every bfloat16 and float16 pattern widens as its twin, and comes back unchanged', () => {
    for (const [widen, twin, narrow] of [
      [ops.widenBF16, convert.widenBF16, ops.narrowBF16],
      [ops.widenF16, convert.widenF16, ops.narrowF16],
    ] as const) {
      for (let start = 0; start < 65536; start += 4093) {
        const src = Uint16Array.from({ length: Math.min(4093, 65536 - start) }, (_, i) => start + i);
        const expected = new Uint32Array(src.length);
        twin(src, expected);
        put(a, src);
        widen(a, b, src.length);
        expect(readWords(b, src.length)).toEqual(expected);
        narrow(b, c, src.length);
        const back = new Uint16Array(kernels.bytes(c, src.length * 2).slice().buffer);
        const wide = floats(expected);
        src.forEach((bits, i) => {
          if (!Number.isNaN(wide[i])) expect(back[i]).toBe(bits);
        });
      }
    }
  });

  test('all float8 codes widen to their values and come back', () => {
    const codes = Uint8Array.from({ length: 256 }, (_, i) => i);
    for (const [dtype, narrow] of [
      ['F8_E4M3', ops.narrowF8E4M3],
      ['F8_E5M2', ops.narrowF8E5M2],
    ] as const) {
      put(a, codes);
      kernels.widen(dtype, a, b, 256);
      expect(readWords(b, 256)).toEqual(float8Table(dtype));
      narrow(b, c, 256);
      const values = readFloats(b, 256);
      const back = kernels.bytes(c, 256).slice();
      for (let code = 0; code < 256; code++) if (!Number.isNaN(values[code])) expect(back[code]).toBe(code);
    }
    expect(floats(float8Table('F8_E4M3'))[0x7e]).toBe(448);
    expect(floats(float8Table('F8_E5M2'))[0x7b]).toBe(57344);
  });

  test('float64 widening rounds to nearest even', () => {
    fc.assert(
      fc.property(fc.array(fc.double(), { maxLength: 50 }), (list) => {
        const src = Float64Array.from(list);
        put(a, src);
        const expected = new Uint32Array(src.length);
        convert.widenF64(src, expected);
        ops.widenF64(a, b, src.length);
        expect(canonical(readFloats(b, src.length))).toEqual(expected);
      }),
    );
  });
});

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
        const shift = Math.max(0, Math.ceil(Math.log2((high - low) / 65536 + 1)));
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

describe('selection is equal to its twins', () => {
  const key = fc.oneof(word, plain).map((bits) => bits & 0x7fffffff);

  test('countMagnitudes with its histogram, countEqual, findEqual, trim, dropLargest', () => {
    fc.assert(
      fc.property(words, key, key, fc.nat(40), (src, k1, k2, pick) => {
        const n = src.length;
        const [low, high] = k1 < k2 ? [k1, k2] : [k2, k1];
        const shift = Math.max(0, Math.ceil(Math.log2((high - low) / 65536 + 1)));
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
        for (const bar of [one, one - 1, -1, 0, 0x7fffffff]) {
          put(b, src);
          const trimmed = src.slice();
          const kept = select.trim(trimmed, bar);
          expect(ops.trim(b, n, bar)).toBe(kept);
          expect(readWords(b, n)).toEqual(trimmed);

          put(b, src);
          const small = src.slice();
          const dropped = select.dropLargest(small, bar);
          expect(ops.dropLargest(b, n, bar)).toBe(dropped);
          expect(readWords(b, n)).toEqual(small);
        }
      }),
      { numRuns: 300 },
    );
  });
});

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
    const models = fc
      .integer({ min: 1, max: 5 })
      .chain((k) =>
        fc.tuple(
          rowsOf(k),
          fc.array(fc.oneof(fc.constantFrom(1, 0, -1, 0.5), fc.float({ noNaN: true })), { minLength: k, maxLength: k }),
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
