import type { Dtype } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import {
  decodeBf16,
  decodeE4m3,
  decodeE5m2,
  decodeF16,
  encodeBf16,
  encodeE4m3,
  encodeE5m2,
  encodeF16,
  fromFloat32,
  toFloat32,
} from '../src/index.js';

/** The textbook formula of an IEEE-like format, in powers of two rather than units of the last place. */
function textbook(bits: number, exponentBits: number, mantissaBits: number, ieee: boolean): number {
  const sign = (bits >> (exponentBits + mantissaBits)) & 1 ? -1 : 1;
  const exponent = (bits >> mantissaBits) & (2 ** exponentBits - 1);
  const fraction = (bits & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const top = 2 ** exponentBits - 1;
  if (ieee && exponent === top) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (!ieee && exponent === top && fraction === (2 ** mantissaBits - 1) / 2 ** mantissaBits) return Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

const view = new DataView(new ArrayBuffer(4));
const floatOf = (bits: number): number => {
  view.setUint32(0, bits);
  return view.getFloat32(0);
};

const FORMATS = [
  { name: 'F16', bits: 16, exponent: 5, mantissa: 10, ieee: true, decode: decodeF16, encode: encodeF16, nan: 0x7e00 },
  { name: 'BF16', bits: 16, exponent: 8, mantissa: 7, ieee: true, decode: decodeBf16, encode: encodeBf16, nan: 0x7fc0 },
  {
    name: 'F8_E4M3',
    bits: 8,
    exponent: 4,
    mantissa: 3,
    ieee: false,
    decode: decodeE4m3,
    encode: encodeE4m3,
    nan: 0x7f,
  },
  { name: 'F8_E5M2', bits: 8, exponent: 5, mantissa: 2, ieee: true, decode: decodeE5m2, encode: encodeE5m2, nan: 0x7f },
] as const;

describe.each(FORMATS)('$name', ({ name, bits, exponent, mantissa, ieee, decode, encode, nan }) => {
  const patterns = Array.from({ length: 2 ** bits }, (_, i) => i);
  /** Finite non-negative values in order: consecutive patterns. */
  const finite = patterns
    .slice(0, 2 ** (bits - 1))
    .filter((pattern) => Number.isFinite(textbook(pattern, exponent, mantissa, ieee)));

  it('decodes every pattern as the formula does', () => {
    const wrong = patterns.filter(
      (pattern) => !Object.is(decode(pattern), textbook(pattern, exponent, mantissa, ieee)),
    );
    expect(wrong).toEqual([]);
  });

  it('encodes every value to its pattern, and NaN to the one NaN', () => {
    const wrong = patterns.filter((pattern) => {
      const value = decode(pattern);
      return encode(value) !== (Number.isNaN(value) ? nan : pattern);
    });
    expect(wrong).toEqual([]);
  });

  it('rounds to nearest, ties to even, between all neighbours', () => {
    const wrong: number[] = [];
    const sign = 2 ** (bits - 1);
    for (const low of finite.slice(0, -1)) {
      const high = low + 1;
      const [a, b] = [decode(low), decode(high)];
      const middle = a + (b - a) / 2; // exact in float64
      const even = low % 2 === 0 ? low : high;
      const below = a + (b - a) * 0.499;
      const above = a + (b - a) * 0.501;
      const right =
        encode(middle) === even && encode(-middle) === sign + even && encode(below) === low && encode(above) === high;
      if (!right) wrong.push(low);
    }
    expect(wrong).toEqual([]);
  });

  it('overflows past half a unit beyond the largest', () => {
    const top = finite.at(-1) ?? 0;
    const unit = decode(top) - decode(top - 1);
    const overflow = ieee ? top + 1 : nan;
    const limit = decode(top) + unit / 2;
    expect(encode(limit - unit / 64)).toBe(top);
    // A tie goes to the even pattern: infinity's in the IEEE formats, 448's in F8_E4M3.
    expect(encode(limit)).toBe(ieee ? overflow : top);
    expect(encode(limit + unit / 64)).toBe(overflow);
    expect(encode(Number.POSITIVE_INFINITY)).toBe(overflow);
    expect(encode(Number.NEGATIVE_INFINITY)).toBe(2 ** (bits - 1) + overflow);
    expect(encode(1e308)).toBe(overflow);
  });

  it('underflows to zero and keeps its sign', () => {
    const least = decode(1);
    expect(encode(least / 2)).toBe(0);
    expect(encode(least * 0.501)).toBe(1);
    expect(encode(-least / 4)).toBe(2 ** (bits - 1));
    expect(encode(Number.MIN_VALUE)).toBe(0);
    expect(encode(-0)).toBe(2 ** (bits - 1));
  });

  it('goes through bytes', () => {
    const bytes = fromFloat32(name, [1, -2, 0.5]);
    expect(bytes.length).toBe((3 * bits) / 8);
    expect([...toFloat32(name, bytes)]).toEqual([1, -2, 0.5]);
  });
});

describe('known values', () => {
  it('matches the tables of the formats', () => {
    expect(decodeF16(0x7bff)).toBe(65504);
    expect(encodeF16(65519.99)).toBe(0x7bff);
    expect(encodeF16(65520)).toBe(0x7c00);
    expect(decodeE4m3(0x7e)).toBe(448);
    expect(decodeE4m3(0x01)).toBe(2 ** -9);
    expect(decodeE5m2(0x7b)).toBe(57344);
    expect(decodeE5m2(0x01)).toBe(2 ** -16);
  });

  it('bfloat16 is the rounded upper half of float32', () => {
    const wrong: number[] = [];
    let state = 12345;
    for (let i = 0; i < 100_000; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const value = floatOf(state);
      if (Number.isNaN(value)) continue;
      const rounded = (state + 0x7fff + ((state >>> 16) & 1)) >>> 16;
      if (encodeBf16(value) !== rounded) wrong.push(state);
    }
    expect(wrong).toEqual([]);
  });
});

describe('toFloat32 and fromFloat32', () => {
  it('read little-endian at any offset', () => {
    const bytes = Uint8Array.of(0xff, 0x00, 0x00, 0x80, 0x3f).subarray(1);
    expect([...toFloat32('F32', bytes)]).toEqual([1]);
    expect([...fromFloat32('F16', Float32Array.of(1))]).toEqual([0x00, 0x3c]);
  });

  it('round float64 once', () => {
    expect(toFloat32('F64', fromFloat32('F64', [0.1]))).toEqual(Float32Array.of(0.1));
    // Through float32 first, this would tie and round down to 1.
    expect(decodeF16(encodeF16(1 + 2 ** -11 + 2 ** -40))).toBe(1 + 2 ** -10);
  });

  it.each<Dtype>(['I64', 'U8', 'BOOL'])('refuse %s', async (dtype) => {
    await expectError(() => toFloat32(dtype, new Uint8Array(8)), 'dtype_unsupported', dtype);
    await expectError(() => fromFloat32(dtype, [1]), 'dtype_unsupported', dtype);
  });

  it('refuse half an element', () =>
    expectError(() => toFloat32('F32', new Uint8Array(6)), 'invalid_checkpoint', '6 bytes', 'F32'));
});
