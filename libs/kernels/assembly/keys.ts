// What orders float32 as integers. The *key* of one is its bits without the sign: it orders magnitudes, NaN above infinity. The *order
// key*, unsigned, orders values: -NaN, -infinity, ... -0 = +0, ... infinity, NaN.

export const MAGNITUDE: i32 = 0x7fffffff;

@inline
export function orderKey(at: usize): u32 {
  const bits = load<u32>(at);
  // All ones below zero, so that larger magnitudes come first there; else only the sign's place. -0 counts as +0.
  const flip: u32 = <u32>(<i32>bits >> 31) | 0x80000000;
  return bits == 0x80000000 ? bits : bits ^ flip;
}

/** Order keys of four float32, less 2^31: in order as signed integers. */
@inline
export function signedOrderKeys(x: v128): v128 {
  const keys = v128.xor(x, v128.and(i32x4.shr_s(x, 31), i32x4.splat(MAGNITUDE)));
  // Only -0 has become -1.
  return i32x4.sub(keys, i32x4.eq(keys, i32x4.splat(-1)));
}

/** Brings an order key, and what is compared with it, to the order of signed integers. */
export const SIGN: u32 = 0x80000000;

/** The first four of eight bfloat16 values: zeros below each, which is one instruction where widening and a shift are two. */
@inline
export function lowFloats(x: v128): v128 {
  return v128.shuffle<u16>(i16x8.splat(0), x, 0, 8, 1, 9, 2, 10, 3, 11);
}

/** The last four. */
@inline
export function highFloats(x: v128): v128 {
  return v128.shuffle<u16>(i16x8.splat(0), x, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** The key of the difference of two raw bfloat16 values. */
@inline
export function differenceKey(a: usize, b: usize, i: i32): i32 {
  const x = reinterpret<f32>((<u32>load<u16>(a + (<usize>i << 1))) << 16);
  const y = reinterpret<f32>((<u32>load<u16>(b + (<usize>i << 1))) << 16);
  return reinterpret<i32>(x - y) & MAGNITUDE;
}

/** As differenceKey, of the first four of eight raw bfloat16 values each. */
@inline
export function lowDifferenceKeys(x: v128, y: v128): v128 {
  return magnitudes(lowFloats(x), lowFloats(y));
}

/** As differenceKey, of the last four. */
@inline
export function highDifferenceKeys(x: v128, y: v128): v128 {
  return magnitudes(highFloats(x), highFloats(y));
}

@inline
function magnitudes(x: v128, y: v128): v128 {
  return v128.and(f32x4.sub(x, y), i32x4.splat(MAGNITUDE));
}

/**
 * Adds a key `count` times to a histogram whose bins are 2^shift keys, the first `low`. A bin is a uint32, how many; where it is more than
 * one key a second follows, the bitwise or of what the keys have above the bin's first: 0 says that all are that one.
 */
@inline
export function addKeys(key: u32, count: u32, low: u32, shift: i32, histogram: usize): void {
  const rest = key - low;
  if (shift == 0) {
    const bin = histogram + (<usize>rest << 2);
    store<u32>(bin, load<u32>(bin) + count);
  } else {
    const bin = histogram + (<usize>(rest >>> shift) << 3);
    const above = <u64>(rest & ((1 << shift) - 1)) << 32;
    store<u64>(bin, (load<u64>(bin) + count) | above);
  }
}

@inline
export function lanes(x: v128): i32 {
  return i32x4.extract_lane(x, 0) + i32x4.extract_lane(x, 1) + i32x4.extract_lane(x, 2) + i32x4.extract_lane(x, 3);
}

/** The largest of four. */
@inline
export function most(x: v128): i32 {
  return max(
    max(i32x4.extract_lane(x, 0), i32x4.extract_lane(x, 1)),
    max(i32x4.extract_lane(x, 2), i32x4.extract_lane(x, 3)),
  );
}
