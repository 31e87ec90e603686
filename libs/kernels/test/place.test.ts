import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Kernels } from '../src/kernels.js';
import { bitsOf } from '../src/twins/convert.js';
import { keysOf, listKeys, orderKeys } from '../src/twins/list.js';
import { countAbove, findPlace } from '../src/twins/place.js';

const kernels = new Kernels();
const { ops } = kernels;
const MOST = 512;
const data = kernels.allocate(MOST * 4);
const base = kernels.allocate(MOST * 4);
const moved = kernels.allocate(MOST * 4);
const list = kernels.allocate(4 + MOST * 8);
const result = kernels.allocate(16);
/** From here on the place is looked for between two entries of a few. */
const MANY = 4096;
const MOST_MANY = 3 * MANY;
const many = kernels.allocate(MOST_MANY * 4);
const movedMany = kernels.allocate(MOST_MANY * 4);
const scratch = kernels.allocate(MOST_MANY * 4);

const special = fc.constantFrom(0, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7fffffff, 0xffffffff, 1);
/** Few values, as differences of bfloat16 have; distinct ones of one size; and any bits. */
const bits = fc.oneof(
  special,
  fc.integer({ min: -4, max: 4 }).map(bitsOf),
  fc.float({ min: Math.fround(-0.01), max: Math.fround(0.01), noNaN: true }).map(bitsOf),
  fc.nat(0xffffffff),
);
const words = fc
  .constantFrom(bits, special, fc.nat(0xffffffff))
  .chain((one) => fc.array(one, { minLength: 1, maxLength: MOST }))
  .map((values) => Uint32Array.from(values));

const put = (at: number, values: Uint32Array) => kernels.words(at, values.length).set(values);

describe('findPlace is equal to its twin', () => {
  const check = (keys: Uint32Array, signed: boolean, at: number, pick: number) => {
    for (const rank of [1, keys.length, 1 + (pick % keys.length)]) {
      ops.findPlace(at, keys.length, rank, signed, scratch, result);
      const [key, end, above, upTo] = kernels.words(result, 4);
      const expected = findPlace(keys, rank);
      expect({ key: signed ? (key! ^ 0x80000000) >>> 0 : key, above, upTo }).toEqual({
        key: expected.key,
        above: expected.above,
        upTo: expected.upTo,
      });
      if (rank < expected.upTo) expect(end).toBe(expected.end);
      else expect(keys.subarray(end).includes(expected.key)).toBe(false);
    }
  };

  test('by magnitude', () => {
    fc.assert(
      fc.property(words, fc.nat(), (src, pick) => {
        put(data, src);
        check(keysOf(src), false, data, pick);
      }),
      { numRuns: 500 },
    );
  });

  test('by value', () => {
    fc.assert(
      fc.property(words, fc.nat(), (src, pick) => {
        put(data, src);
        ops.signedKeys(data, moved, src.length);
        check(orderKeys(src), true, moved, pick);
      }),
      { numRuns: 500 },
    );
  });

  test('among many, also where the few that are drawn mislead', () => {
    const lengths = fc.integer({ min: MANY, max: MOST_MANY });
    // Words that come again and again, and one that is at every so manyth place, or follows all others.
    const patterns = fc.record({ n: lengths, some: fc.array(bits, { minLength: 1, maxLength: 200 }), odd: bits });
    const steps = fc.constantFrom(1, 7, 64, MOST_MANY);
    fc.assert(
      fc.property(patterns, steps, fc.nat(), ({ n, some, odd }, step, pick) => {
        const src = Uint32Array.from({ length: n }, (_, i) =>
          i % step === 0 || i > n - 60 ? odd : (some[(i * 31) % some.length]! ^ (i % 3)) >>> 0,
        );
        put(many, src);
        ops.signedKeys(many, movedMany, n);
        check(keysOf(src), false, many, pick);
        check(orderKeys(src), true, movedMany, pick);
      }),
      { numRuns: 60 },
    );
  });
});

test('countAbove is equal to its twin', () => {
  fc.assert(
    fc.property(words, fc.nat(), (src, pick) => {
      put(data, src);
      ops.signedKeys(data, moved, src.length);
      const [keys, ordered] = [keysOf(src), orderKeys(src)];
      const n = src.length;
      for (const equals of [false, true]) {
        const [key, order] = [keys[pick % n]!, ordered[pick % n]!];
        expect(ops.countAbove(data, n, key, equals, false)).toBe(countAbove(keys, key, equals));
        expect(ops.countAbove(moved, n, order ^ 0x80000000, equals, true)).toBe(countAbove(ordered, order, equals));
      }
    }),
    { numRuns: 500 },
  );
});

describe('lists are equal to their twins', () => {
  const bounds = (keys: Uint32Array, a: number, b: number) =>
    [keys[a % keys.length]!, keys[b % keys.length]!].sort((x, y) => x - y) as [number, number];

  const check = (keys: Uint32Array, a: number, b: number, kernel: (low: number, high: number) => number) => {
    const [low, high] = bounds(keys, a, b);
    const expected: number[] = [];
    const above = listKeys(keys, low, high, expected, 40);
    kernels.words(list, 1).fill(0);
    expect(kernel(low, high)).toBe(above);
    expect(kernels.words(list, 1)[0]).toBe(expected.length / 2);
    expect([...kernels.words(list + 4, expected.length)]).toEqual(expected);
  };

  test('listMagnitudes and listOrdered', () => {
    fc.assert(
      fc.property(words, fc.nat(), fc.nat(), (src, a, b) => {
        put(data, src);
        const n = src.length;
        check(keysOf(src), a, b, (low, high) => ops.listMagnitudes(data, n, low, high, list, 40));
        check(orderKeys(src), a, b, (low, high) => ops.listOrdered(data, n, low, high, list, 40));
      }),
      { numRuns: 500 },
    );
  });

  test('a list goes on where it ended', () => {
    kernels.floats(data, 3).set([1, 2, 3]);
    kernels.words(list, 1).fill(0);
    for (const first of [0, 3]) ops.listMagnitudes(data, 3, bitsOf(2), bitsOf(3), list, first);
    expect([...kernels.words(list, 5)]).toEqual([2, bitsOf(2), 1, bitsOf(2), 4]);
  });

  test('listDifferencesBF16 equals the list of the differences', () => {
    const half = fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 0x8000, 0x7f80, 0xff80, 0x3f80, 0xbf80, 1));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(half, half), { minLength: 1, maxLength: 300 }),
        fc.nat(),
        fc.nat(),
        (pairs, a, b) => {
          const n = pairs.length;
          put(data, new Uint32Array(Uint16Array.from([...pairs.map(([x]) => x), 0, 0]).buffer, 0, Math.ceil(n / 2)));
          put(base, new Uint32Array(Uint16Array.from([...pairs.map(([, y]) => y), 0, 0]).buffer, 0, Math.ceil(n / 2)));
          ops.widenBF16(base, moved, n);
          ops.subtractBF16(data, moved, moved, n);
          const differences = kernels.words(moved, n).slice();
          // NaN of arithmetic may differ in its payload, and so in its key.
          if (kernels.floats(moved, n).some(Number.isNaN)) return;
          check(keysOf(differences), a, b, (low, high) => ops.listDifferencesBF16(data, base, n, low, high, list, 40));
        },
      ),
      { numRuns: 500 },
    );
  });
});
