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

/** The key of the difference of two raw bfloat16 values. */
@inline
export function differenceKey(a: usize, b: usize, i: i32): i32 {
  const x = reinterpret<f32>((<u32>load<u16>(a + (<usize>i << 1))) << 16);
  const y = reinterpret<f32>((<u32>load<u16>(b + (<usize>i << 1))) << 16);
  return reinterpret<i32>(x - y) & MAGNITUDE;
}

@inline
export function lanes(x: v128): i32 {
  return i32x4.extract_lane(x, 0) + i32x4.extract_lane(x, 1) + i32x4.extract_lane(x, 2) + i32x4.extract_lane(x, 3);
}
