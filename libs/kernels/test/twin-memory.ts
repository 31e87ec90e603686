import fc from 'fast-check';
import { Kernels } from '../src/kernels.js';
import * as convert from '../src/twins/convert.js';

/** What tests of kernels against their twins share: a memory with places in it, and numbers that tell kernels apart. */

export const kernels = new Kernels();
export const { ops } = kernels;
export const CAPACITY = 4096;
/** Places for CAPACITY numbers each, of eight bytes at most. */
export const [a, b, c, d] = [0, 1, 2, 3].map(() => kernels.allocate(CAPACITY * 8)) as [number, number, number, number];
export const histogram = kernels.allocate(65536 * 4);

/** Bits where rounding, subnormals, overflow, NaN and signed zeros live, for float32 and for what it narrows to. */
const SPECIAL = [
  0, 0x80000000, 1, 0x80000001, 0x007fffff, 0x00800000, 0x3f800000, 0xbf800000, 0x7f7fffff, 0xff7fffff, 0x7f800000,
  0xff800000, 0x7f800001, 0x7fc00000, 0xffc00000, 0x7fffffff, 0x33000000, 0x33000001, 0x33800000, 0x387fe000,
  0x387fc000, 0x387fffff, 0x38800000, 0x38801000, 0x38803000, 0x477fe000, 0x477fefff, 0x477ff000, 0x477fffff,
  0x47800000, 0x3f808000, 0x3f818000, 0x7f7f8000, 0x7f7f7fff, 0x43e80000, 0x43e7ffff, 0x43e00000, 0x43f00000,
  0x3a800000, 0x3b000000, 0x3ac00000, 0x47600000, 0x476fffff, 0x47700000, 0x37800000, 0x37000000, 0x37000001,
  0x36ffffff, 0x3c800000, 0x3c7fffff,
];
/** The bits of any float32, often a special one. */
export const word = fc.oneof(
  { arbitrary: fc.constantFrom(...SPECIAL), weight: 1 },
  { arbitrary: fc.nat(0xffffffff), weight: 2 },
);
/** Small numbers near each other: equal magnitudes and exact cancellation happen. */
export const plain = fc.integer({ min: -8, max: 8 }).map((x) => convert.bitsOf(x / 4));
export const words = fc
  .oneof(fc.array(word, { maxLength: 300 }), fc.array(plain, { maxLength: 300 }))
  .map((list) => Uint32Array.from(list));

export const put = (pointer: number, data: Uint32Array | Uint16Array | Uint8Array | Float64Array) =>
  kernels.bytes(pointer, data.byteLength).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
export const floats = (bits: Uint32Array) => new Float32Array(bits.buffer.slice(0));
/** NaN has many bit patterns and arithmetic may make any; every other value must have the same bits. */
export const canonical = (x: Float32Array) => {
  const bits = new Uint32Array(x.length);
  convert.storeF32(new Uint32Array(x.buffer, x.byteOffset, x.length), bits);
  return bits;
};
export const readWords = (pointer: number, n: number) => kernels.words(pointer, n).slice();
export const readFloats = (pointer: number, n: number) => kernels.floats(pointer, n).slice();
