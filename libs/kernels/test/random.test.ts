import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Kernels } from '../src/kernels.js';
import { randomStream } from '../src/random.js';
import { bitsOf, fromBits } from '../src/twins/convert.js';
import * as twins from '../src/twins/random.js';

const kernels = new Kernels();
const { ops } = kernels;
const CAPACITY = 2 ** 18;
const streamAt = kernels.allocate(16);
const wordsAt = kernels.allocate(CAPACITY * 4);
const bytesAt = kernels.allocate(CAPACITY);
const keptAt = kernels.allocate(4);
const dataAt = kernels.allocate(CAPACITY * 4);
const sharesAt = kernels.allocate(CAPACITY * 4);

/** Words [start, start + n) of a stream; `start` is a multiple of 16. */
function words(stream: Uint32Array, n: number, start = 0): Uint32Array {
  kernels.words(streamAt, 4).set(stream);
  const counter = start / 4;
  ops.randomWords(streamAt, counter % 2 ** 32, Math.floor(counter / 2 ** 32), wordsAt, n);
  return kernels.words(wordsAt, n).slice();
}

describe('the generator', () => {
  test('is Philox4x32-10: the known answers of its authors’ library', () => {
    expect(twins.philox([0, 0, 0, 0], [0, 0])).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    const ones = 0xffffffff;
    expect(twins.philox([ones, ones, ones, ones], [ones, ones])).toEqual([
      0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd,
    ]);
    const [pi, key] = [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
    ] as const;
    expect(twins.philox(pi, key)).toEqual([0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
  });

  test('gives the words of its twin, also beyond 2^32 counters', () => {
    const word = fc.nat(0xffffffff);
    const starts = fc.oneof(
      fc.nat(2 ** 20),
      fc.nat(64).map((x) => 2 ** 30 - 32 + x),
      fc.constant(2 ** 45),
    );
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), starts, fc.integer({ min: 1, max: 50 }), (key, at, n) => {
        const stream = Uint32Array.from(key);
        const start = at * 16;
        const expected = Uint32Array.from({ length: n }, (_, i) => twins.randomWord(stream, start + i));
        expect(words(stream, n, start)).toEqual(expected);
      }),
      { numRuns: 100 },
    );
  });

  test('gives the same words wherever a part begins', () => {
    const stream = randomStream(7, 1, 'layers.0.weight');
    const whole = words(stream, 4096);
    for (const start of [0, 16, 2048, 4080]) expect(words(stream, 16, start)).toEqual(whole.slice(start, start + 16));
  });
});

/** Puts the stream, and the random bytes of n entries from `first` on, a multiple of 64, to their places. Returns the index in halves. */
function draw(stream: Uint32Array, n: number, first: number): [low: number, high: number] {
  kernels.words(streamAt, 4).set(stream);
  const counter = first / 16;
  ops.randomWords(streamAt, counter % 2 ** 32, Math.floor(counter / 2 ** 32), bytesAt, Math.ceil(n / 4));
  return [first % 2 ** 32, Math.floor(first / 2 ** 32)];
}

describe('streams', () => {
  test('differ by seed, model and tensor, and by nothing else', () => {
    const first = words(randomStream(1, 0, 'a'), 64);
    expect(words(randomStream(1, 0, 'a'), 64)).toEqual(first);
    const others = [randomStream(2, 0, 'a'), randomStream(1, 1, 'a'), randomStream(1, 0, 'b'), randomStream(0, 1, 'a')];
    for (const other of others) {
      const same = words(other, 64).filter((word, i) => word === first[i]).length;
      expect(same).toBe(0);
    }
  });
});

/** Upper bound of a chi-square statistic that a true one passes once in about 3.5 million times: five standard deviations. */
function chiSquareBound(degrees: number): number {
  const a = 2 / (9 * degrees);
  return degrees * (1 - a + 5 * Math.sqrt(a)) ** 3;
}

function chiSquare(counts: number[], expected: number): number {
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

describe('the words are spread evenly', () => {
  const streams = [
    randomStream(0, 0, ''),
    randomStream(42, 3, 'model.embed_tokens.weight'),
    randomStream(2 ** 32 - 1, 7, 'b'),
  ];

  test.each([0, 8, 16, 24])('in each byte (bit %i)', (shift) => {
    for (const stream of streams) {
      const counts = new Array(256).fill(0) as number[];
      for (const word of words(stream, CAPACITY)) counts[(word >>> shift) & 255]!++;
      expect(chiSquare(counts, CAPACITY / 256)).toBeLessThan(chiSquareBound(255));
    }
  });

  test.each([1, 2, 3, 4, 16, 4096])('in pairs of entries %i apart', (distance) => {
    for (const stream of streams) {
      const list = words(stream, CAPACITY);
      const counts = new Array(256).fill(0) as number[];
      for (let i = distance; i < list.length; i++) counts[((list[i]! >>> 28) << 4) | (list[i - distance]! >>> 28)]!++;
      expect(chiSquare(counts, (CAPACITY - distance) / 256)).toBeLessThan(chiSquareBound(255));
    }
  });
});

/** 1 where an entry of a stream of ones is kept. */
function mask(stream: Uint32Array, n: number, p: number): Float32Array {
  const index = draw(stream, n, 0);
  kernels.floats(dataAt, n).fill(1);
  ops.keepRandom(dataAt, n, bytesAt, streamAt, ...index, p, false, keptAt);
  const data = kernels.floats(dataAt, n).slice();
  expect(data.reduce((sum, x) => sum + x, 0)).toBe(kernels.words(keptAt, 1)[0]);
  return data;
}

describe('random numbers', () => {
  const stream = randomStream(11, 2, 'layers.3.mlp.weight');

  test('are spread evenly below their byte, too, and independently of it', () => {
    const counts = new Array(256).fill(0) as number[];
    const n = 2 ** 15;
    for (let i = 0; i < n; i++) {
      const number = twins.randomNumber(stream, i);
      counts[((number >>> 28) << 4) | ((number >>> 20) & 15)]!++;
    }
    expect(chiSquare(counts, n / 256)).toBeLessThan(chiSquareBound(255));
  });

  test('are compared to the last bit: a mask turns where the probability passes its number', () => {
    // Below 2^-8 float32 has digits for all 32 bits.
    const small = Array.from({ length: 4096 }, (_, i) => i).filter((i) => twins.randomByte(stream, i) === 0);
    expect(small.length).toBeGreaterThan(4);
    for (const i of small) {
      const number = twins.randomNumber(stream, i);
      expect(mask(stream, 4096, number / 2 ** 32)[i]).toBe(0);
      expect(mask(stream, 4096, (number + 1) / 2 ** 32)[i]).toBe(1);
    }
  });
});

describe('masks', () => {
  test.each([0.01, 0.2, 0.5, 0.9, 0.999])('keep a share of %d, and vary as independent draws do', (p) => {
    const n = 2048;
    const runs = 400;
    const counts = Array.from({ length: runs }, (_, model) =>
      mask(randomStream(9, model, 'w'), n, p).reduce((sum, x) => sum + x, 0),
    );
    const mean = counts.reduce((sum, x) => sum + x, 0) / runs;
    const deviation = Math.sqrt(n * p * (1 - p));
    expect(Math.abs(mean - n * p)).toBeLessThan((5 * deviation) / Math.sqrt(runs));
    const variance = counts.reduce((sum, x) => sum + (x - n * p) ** 2, 0) / runs;
    // The variance of a sample varies by sqrt(2 / runs) of itself.
    expect(Math.abs(variance / deviation ** 2 - 1)).toBeLessThan(5 * Math.sqrt(2 / runs));
  });

  test('of two models, two tensors and two seeds are independent', () => {
    const n = CAPACITY;
    const first = mask(randomStream(5, 0, 'layers.0.q'), n, 0.5);
    const others = {
      model: randomStream(5, 1, 'layers.0.q'),
      tensor: randomStream(5, 0, 'layers.1.q'),
      seed: randomStream(6, 0, 'layers.0.q'),
    };
    for (const stream of Object.values(others)) {
      const counts = [0, 0, 0, 0];
      mask(stream, n, 0.5).forEach((x, i) => {
        counts[2 * first[i]! + x]!++;
      });
      expect(chiSquare(counts, n / 4)).toBeLessThan(chiSquareBound(3));
    }
  });

  test('probability 0 keeps nothing, probability 1 everything', () => {
    const stream = randomStream(3, 0, 'w');
    expect(mask(stream, 4096, 0).every((x) => x === 0)).toBe(true);
    expect(mask(stream, 4096, 1).every((x) => x === 1)).toBe(true);
  });

  test('equal their twin bit by bit, one probability or one each, with and without rescaling', () => {
    const p = fc.oneof(
      fc.constantFrom(0, 1, 0.5, Math.fround(0.1), 2 ** -32, 2 ** -33, 1 - 2 ** -24, 255 / 256),
      fc.float({ min: 0, max: 1, noNaN: true }),
    );
    const special = fc.constantFrom(-0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-45);
    const x = fc.oneof({ arbitrary: fc.float({ min: -8, max: 8 }), weight: 8 }, { arbitrary: special, weight: 1 });
    // Steps of float32 by which a probability differs from the entry's random number, where it is meant to be near it.
    const near = fc.option(fc.integer({ min: -2, max: 2 }));
    const entries = fc.array(fc.tuple(x, p, near), { minLength: 1, maxLength: 70 });
    const key = fc.tuple(fc.nat(0xffffffff), fc.nat(7), fc.nat(0xffffffff), fc.nat(0xffffffff));
    const starts = fc.oneof(
      fc.nat(2 ** 20),
      fc.nat(64).map((at) => 2 ** 26 - 32 + at),
      fc.constant(2 ** 45),
    );
    fc.assert(
      fc.property(entries, p, near, key, starts, fc.boolean(), (list, chosen, distance, words, at, rescale) => {
        const n = list.length;
        const stream = Uint32Array.from(words);
        const first = at * 64;
        const nearNumber = (i: number, steps: number) =>
          Math.min(1, stepped(twins.randomNumber(stream, first + i) / 2 ** 32, steps));
        const shared = distance === null ? chosen : nearNumber(n - 1, distance);
        const shares = Float32Array.from(list, ([, own, steps], i) => (steps === null ? own : nearNumber(i, steps)));
        const check = (twin: (data: Float32Array) => number, kernel: (index: [number, number]) => number) => {
          kernels.floats(dataAt, n + 4).fill(0);
          kernels.floats(dataAt, n).set(list.map((entry) => entry[0]));
          kernels.floats(sharesAt, n).set(shares);
          const expected = Float32Array.from(list, (entry) => entry[0]);
          const kept = twin(expected);
          const squares = ops.sumSquares(dataAt, n);
          expect(kernel(draw(stream, n, first))).toBe(squares);
          expect(kernels.words(keptAt, 1)[0]).toBe(kept);
          expect(kernels.floats(dataAt, n).slice()).toEqual(expected);
          // What follows stays 0, as the kernels that come next want it.
          expect([...kernels.words(dataAt + n * 4, 3)]).toEqual([0, 0, 0]);
        };
        check(
          (data) => twins.keepRandom(data, stream, first, () => shared, rescale),
          (index) => ops.keepRandom(dataAt, n, bytesAt, streamAt, ...index, shared, rescale, keptAt),
        );
        check(
          (data) => twins.keepRandom(data, stream, first, (i) => shares[i]!, rescale),
          (index) => ops.keepRandomEach(dataAt, n, bytesAt, streamAt, ...index, sharesAt, rescale, keptAt),
        );
      }),
      { numRuns: 500 },
    );
  });
});

/** A float32 some steps above x, which is not negative. */
function stepped(x: number, steps: number): number {
  return fromBits(Math.max(0, bitsOf(Math.fround(x)) + steps));
}
