import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Kernels } from '../src/kernels.js';
import * as twins from '../src/twins/balance.js';
import { bitsOf, fromBits, storeF32 } from '../src/twins/convert.js';
import { exp, tanh } from '../src/twins/exponential.js';

const kernels = new Kernels();
const { ops } = kernels;
const MOST = 4096;
const STRIDE = MOST * 4;
const MODELS = 5;
const deltas = kernels.allocate(STRIDE * MODELS);
const dst = kernels.allocate(STRIDE);
const table = kernels.allocate(MODELS * 32);

function put(vectors: Float32Array[], bounds: twins.Bounds[]): number {
  const n = vectors[0]!.length;
  const padded = Math.ceil(n / 4) * 4;
  vectors.forEach((vector, k) => {
    kernels.floats(deltas + k * STRIDE, padded).fill(0);
    kernels.floats(deltas + k * STRIDE, n).set(vector);
  });
  bounds.forEach(({ low, high, weight, least, most }, k) => {
    kernels.floats(table + k * 32, 5).set([low, high, weight, least, most]);
  });
  return padded;
}

function balance(vectors: Float32Array[], bounds: twins.Bounds[]): Float32Array[] {
  ops.balance(deltas, STRIDE, vectors.length, table, put(vectors, bounds));
  return vectors.map((vector, k) => kernels.floats(deltas + k * STRIDE, vector.length).slice());
}

/** Bits, one NaN for all. */
function canonical(x: Float32Array): Uint32Array {
  const bits = new Uint32Array(x.length);
  storeF32(new Uint32Array(x.buffer, x.byteOffset, x.length), bits);
  return bits;
}

const value = fc.oneof(
  fc.constantFrom(0, -0, Number.NaN, Number.POSITIVE_INFINITY, 1e-45, 2 ** -12, -(2 ** -12)),
  fc.float({ min: -4, max: 4, noNaN: true }),
  fc.float(),
);
const bound = fc.oneof(fc.constantFrom(0, 0.25, 1, Number.NaN), fc.float({ min: 0, max: 4, noNaN: true }));
const bounds = fc.tuple(bound, bound, fc.float({ min: -2, max: 2, noNaN: true }), bound, bound).map(
  ([a, b, weight, c, d]): twins.Bounds => ({
    low: b < a ? b : a,
    high: b < a ? a : b,
    weight,
    least: d < c ? d : c,
    most: d < c ? c : d,
  }),
);
const models = fc.tuple(fc.integer({ min: 1, max: MODELS }), fc.integer({ min: 1, max: 40 })).chain(([count, n]) =>
  fc.record({
    vectors: fc.array(
      fc.array(value, { minLength: n, maxLength: n }).map((list) => Float32Array.from(list)),
      { minLength: count, maxLength: count },
    ),
    limits: fc.array(bounds, { minLength: count, maxLength: count }),
  }),
);

/** Kernels and twins over the same task vectors and limits, bit by bit. */
function testTwins(models: fc.Arbitrary<{ vectors: Float32Array[]; limits: twins.Bounds[] }>, numRuns: number): void {
  test('balance', () => {
    fc.assert(
      fc.property(models, ({ vectors, limits }) => {
        const expected = vectors.map((vector) => vector.slice());
        twins.balance(expected, limits);
        expect(balance(vectors, limits).map(canonical)).toEqual(expected.map(canonical));
      }),
      { numRuns },
    );
  });

  test('mergeBalanced', () => {
    fc.assert(
      fc.property(models, ({ vectors, limits }) => {
        const n = vectors[0]!.length;
        const expected = new Float32Array(n);
        twins.mergeBalanced(vectors, limits, expected);
        ops.mergeBalanced(deltas, STRIDE, vectors.length, table, dst, put(vectors, limits));
        expect(canonical(kernels.floats(dst, n).slice())).toEqual(canonical(expected));
      }),
      { numRuns },
    );
  });
}

describe('kernels of PCB-Merging are bit-equal to their twins', () => {
  testTwins(models, 500);
});

/** Task vectors as long as several stretches with the bounds that quantiles give; `kept`: the place of the least balance. */
const likely = fc.tuple(fc.integer({ min: 1, max: MODELS }), fc.integer({ min: 500, max: 1100 })).chain(([count, n]) =>
  fc.record({
    vectors: fc.array(fc.array(fc.integer({ min: -64, max: 64 }), { minLength: n, maxLength: n }), {
      minLength: count,
      maxLength: count,
    }),
    scale: fc.constantFrom(2 ** -140, 2 ** -70, 2 ** -12, 0.01, 1),
    /** How much larger each task vector is than the one before. */
    growth: fc.constantFrom(0.25, 1, 3),
    kept: fc.integer({ min: 0, max: n - 1 }),
  }),
);

describe('where few balances are kept kernels of PCB-Merging are bit-equal to their twins', () => {
  const limitsOf = (vectors: Float32Array[], kept: number): twins.Bounds[] => {
    const limits = vectors.map((vector): twins.Bounds => {
      const sizes = vector.map(Math.abs).sort();
      const low = sizes[Math.floor(0.01 * sizes.length)]!;
      return {
        low,
        high: sizes[Math.floor(0.97 * sizes.length)]!,
        weight: 1.25,
        least: Number.NEGATIVE_INFINITY,
        most: 1,
      };
    });
    const balances = vectors.map((vector) => vector.slice());
    twins.balance(balances, limits);
    return limits.map((own, k) => {
      const sorted = balances[k]!.sort();
      return { ...own, least: sorted[kept]!, most: sorted.at(-1)! };
    });
  };
  const models = likely.map(({ vectors, scale, growth, kept }) => {
    const scaled = vectors.map((list, k) => Float32Array.from(list, (x) => Math.tan(x / 48) * scale * growth ** k));
    return { vectors: scaled, limits: limitsOf(scaled, kept) };
  });

  testTwins(models, 60);
});

/** Binary places of the exact values below. */
const PLACES = 160n;
const ONE = 1n << PLACES;

/** A float64 as a fixed-point number; exact where its last digit is worth 2^-160 or more. */
function toFixed(x: number): bigint {
  const scale = 2 ** 100;
  const [whole, rest] = [Math.trunc(x), x - Math.trunc(x)];
  return (BigInt(whole) << PLACES) + (BigInt(rest * scale) << (PLACES - 100n));
}

/** e^x for a fixed-point x >= 0, within 1e-40 of it. */
function exactExp(x: bigint): bigint {
  // Halved until the series is short, then squared again.
  const halvings = 12n;
  let term = ONE;
  let sum = ONE;
  for (let i = 1n; term > 0n; i++) {
    term = ((term * x) >> (PLACES + halvings)) / i;
    sum += term;
  }
  for (let i = 0n; i < halvings; i++) sum = (sum * sum) >> PLACES;
  return sum;
}

function exactTanh(x: bigint): bigint {
  const e = exactExp(2n * x);
  return ((e - ONE) << PLACES) / (e + ONE);
}

/** |got / exact - 1| */
function errorOf(got: number, exact: bigint): number {
  const difference = toFixed(got) - exact;
  return Number(((difference < 0n ? -difference : difference) << 80n) / exact) / 2 ** 80;
}

/** A few hundred float32 in each power of two from 2^-40 to the given one, and its ends. */
function floatsUpTo(exponent: number): number[] {
  const list: number[] = [];
  for (let e = -40; e < exponent; e++) {
    const first = bitsOf(2 ** e);
    for (let i = 0; i < 64; i++) list.push(fromBits(first + ((i * 131_071 * 64 + i) % 2 ** 23)));
    list.push(fromBits(first + 2 ** 23 - 1));
  }
  return list;
}

describe('exp and tanh', () => {
  test('are within 1 and 5 units of 1.1e-16 of the exact values', () => {
    let [most, mostOfTanh] = [0, 0];
    for (const x of floatsUpTo(6)) {
      if (x < 60) most = Math.max(most, errorOf(exp(x), exactExp(toFixed(x))));
      mostOfTanh = Math.max(mostOfTanh, errorOf(tanh(x), exactTanh(toFixed(x))));
    }
    expect(most).toBeLessThan(2 ** -52);
    expect(mostOfTanh).toBeLessThan(5 * 2 ** -53);
  });

  test('below zero exp is one divided by that of the opposite, within rounding', () => {
    for (const x of floatsUpTo(9)) expect(Math.abs(exp(-x) * exp(x) - 1)).toBeLessThan(4 * 2 ** -53);
  });

  test('of the kernels, rounded to float32, are correctly rounded', () => {
    const xs = floatsUpTo(5);
    // One model whose units are 1 for magnitudes of 1 and more: exp(1) tanh(x).
    const one = { low: 0, high: 1, weight: 1, least: 0, most: 1 };
    const large = xs.filter((x) => x >= 1).slice(0, MOST);
    const e = Math.fround(Number(exactExp(ONE)) / Number(ONE));
    const [got] = balance([Float32Array.from(large)], [one]);
    large.forEach((x, i) => {
      expect(got![i]).toBe(Math.fround(e * Math.fround(Number(exactTanh(toFixed(x))) / Number(ONE))));
    });
    // tanh of what is far is 1, and units are shares of the upper bound: exp(unit²).
    const far = 2 ** 40;
    const sizes = xs.filter((x) => x > 2 ** -14 && x < 1).slice(0, MOST);
    const [raised] = balance(
      [Float32Array.from(sizes, (x) => x * far)],
      [{ low: 0, high: far, weight: 1, least: 0, most: 1 }],
    );
    sizes.forEach((x, i) => {
      const exact = exactExp(toFixed(Math.fround(x * x)));
      expect(raised![i]).toBe(Math.fround(Number(exact) / Number(ONE)));
    });
  });
});
