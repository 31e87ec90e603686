import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { float8Table } from '../src/float8.js';
import * as convert from '../src/twins/convert.js';
import { a, b, c, canonical, floats, kernels, ops, put, readFloats, readWords, words } from './twin-memory.js';

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
