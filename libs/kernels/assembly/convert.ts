// Widening to float32 is exact (but for float64); narrowing rounds once, to nearest even. NaN leaves as the one positive quiet
// NaN of the dtype, so that results do not depend on which NaN a processor makes.
import { highFloats, lowFloats } from './keys';

const F32_NAN: u32 = 0x7fc00000;

@inline
function canonical(x: v128): v128 {
  return v128.bitselect(x, i32x4.splat(F32_NAN), f32x4.eq(x, x));
}

/** dst[i] = src[i], NaN made canonical. */
export function storeF32(src: usize, dst: usize, n: i32): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    v128.store(dst + (<usize>i << 2), canonical(v128.load(src + (<usize>i << 2))));
  }
  for (; i < n; i++) {
    const x = load<f32>(src + (<usize>i << 2));
    if (x == x) store<f32>(dst + (<usize>i << 2), x);
    else store<u32>(dst + (<usize>i << 2), F32_NAN);
  }
}

export function widenBF16(src: usize, dst: usize, n: i32): void {
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const x = v128.load(src + (<usize>i << 1));
    v128.store(dst + (<usize>i << 2), lowFloats(x));
    v128.store(dst + (<usize>i << 2), highFloats(x), 16);
  }
  for (; i < n; i++) {
    store<u32>(dst + (<usize>i << 2), (<u32>load<u16>(src + (<usize>i << 1))) << 16);
  }
}

/** bfloat16 bits in the low half of each lane. */
@inline
function bf16Lanes(x: v128): v128 {
  const odd = v128.and(i32x4.shr_u(x, 16), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(x, i32x4.splat(0x7fff)), odd), 16);
  return v128.bitselect(rounded, i32x4.splat(0x7fc0), f32x4.eq(x, x));
}

@inline
function packHalves(low: v128, high: v128): v128 {
  return i8x16.shuffle(low, high, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29);
}

export function narrowBF16(src: usize, dst: usize, n: i32): void {
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const low = bf16Lanes(v128.load(src + (<usize>i << 2)));
    const high = bf16Lanes(v128.load(src + (<usize>i << 2), 16));
    v128.store(dst + (<usize>i << 1), packHalves(low, high));
  }
  for (; i < n; i++) {
    const x = bf16Lanes(i32x4.splat(load<u32>(src + (<usize>i << 2))));
    store<u16>(dst + (<usize>i << 1), <u16>i32x4.extract_lane(x, 0));
  }
}

/** float16 in the low halves of the lanes → float32. The multiplication by 2^112 moves the exponent and normalises subnormals. */
@inline
function f16ToF32(h: v128): v128 {
  const magnitude = i32x4.shl(v128.and(h, i32x4.splat(0x7fff)), 13);
  const scaled = f32x4.mul(magnitude, f32x4.splat(reinterpret<f32>(0x77800000)));
  const special = i32x4.ge_u(magnitude, i32x4.splat(0x0f800000));
  const withSpecial = v128.bitselect(v128.or(magnitude, i32x4.splat(0x7f800000)), scaled, special);
  const signed = v128.or(withSpecial, i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16));
  return canonical(signed);
}

export function widenF16(src: usize, dst: usize, n: i32): void {
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const x = v128.load(src + (<usize>i << 1));
    v128.store(dst + (<usize>i << 2), f16ToF32(i32x4.extend_low_i16x8_u(x)));
    v128.store(dst + (<usize>i << 2), f16ToF32(i32x4.extend_high_i16x8_u(x)), 16);
  }
  for (; i < n; i++) {
    const x = f16ToF32(i32x4.splat(load<u16>(src + (<usize>i << 1))));
    store<f32>(dst + (<usize>i << 2), f32x4.extract_lane(x, 0));
  }
}

/** float16 bits in the low half of each lane. */
@inline
function f16Lanes(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const sign = i32x4.shr_u(v128.and(x, i32x4.splat(0x80000000)), 16);
  // normal: rebias the exponent, add half an ulp (ties to even), shift
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const rebiased = i32x4.add(i32x4.add(magnitude, i32x4.splat(0xc8000fff)), odd);
  const normal = i32x4.shr_u(rebiased, 13);
  // subnormal: the addition of 0.5 aligns the mantissa, and float addition rounds to nearest even
  const aligned = f32x4.add(magnitude, f32x4.splat(0.5));
  const subnormal = i32x4.sub(aligned, i32x4.splat(0x3f000000));
  const isSmall = i32x4.lt_u(magnitude, i32x4.splat(0x38800000));
  const isBig = i32x4.ge_u(magnitude, i32x4.splat(0x477ff000));
  let h = v128.bitselect(subnormal, normal, isSmall);
  h = v128.bitselect(i32x4.splat(0x7c00), h, isBig);
  h = v128.or(h, sign);
  return v128.bitselect(h, i32x4.splat(0x7e00), f32x4.eq(x, x));
}

export function narrowF16(src: usize, dst: usize, n: i32): void {
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const low = f16Lanes(v128.load(src + (<usize>i << 2)));
    const high = f16Lanes(v128.load(src + (<usize>i << 2), 16));
    v128.store(dst + (<usize>i << 1), packHalves(low, high));
  }
  for (; i < n; i++) {
    const x = f16Lanes(i32x4.splat(load<u32>(src + (<usize>i << 2))));
    store<u16>(dst + (<usize>i << 1), <u16>i32x4.extract_lane(x, 0));
  }
}

/** The one lossy widening: float64 is rounded to float32. */
export function widenF64(src: usize, dst: usize, n: i32): void {
  for (let i = 0; i < n; i++) {
    store<f32>(dst + (<usize>i << 2), <f32>load<f64>(src + (<usize>i << 3)));
  }
}

export function narrowF64(src: usize, dst: usize, n: i32): void {
  for (let i = 0; i < n; i++) {
    const x = load<f32>(src + (<usize>i << 2));
    if (x == x) store<f64>(dst + (<usize>i << 3), <f64>x);
    else store<u64>(dst + (<usize>i << 3), 0x7ff8000000000000);
  }
}

/** float8 widening by a table of 256 float32 that the caller fills (see ../src/float8.ts). */
export function widenF8(src: usize, dst: usize, n: i32, table: usize): void {
  for (let i = 0; i < n; i++) {
    store<u32>(dst + (<usize>i << 2), load<u32>(table + (<usize>load<u8>(src + <usize>i) << 2)));
  }
}

/**
 * float32 → float8 with `mantissa` bits of mantissa, bias `bias`; magnitudes above `largest` (as float32 bits, after rounding)
 * become `overflow`. E4M3 (the fn form) has no infinity: overflow is NaN, as in PyTorch. E5M2 overflows to infinity.
 */
@inline
function f8Bits(bits: u32, mantissa: u32, bias: i32, overflow: u32, nan: u32): u32 {
  const sign = (bits >> 24) & 0x80;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return nan;
  const drop = 23 - mantissa;
  const smallest = <u32>(128 - bias) << 23; // 2^(1 - bias), the smallest normal
  let code: u32;
  if (magnitude < smallest) {
    // The ulp of this sum is that of the subnormals, so float addition rounds to nearest even.
    const magic = reinterpret<f32>(<u32>(127 + 1 - bias - <i32>mantissa + 23) << 23);
    code = reinterpret<u32>(reinterpret<f32>(magnitude) + magic) - reinterpret<u32>(magic);
  } else {
    const rounded = magnitude + ((<u32>1 << (drop - 1)) - 1) + ((magnitude >> drop) & 1);
    code = (rounded >> drop) - (<u32>(127 - bias) << mantissa);
  }
  if (code > overflow) code = overflow;
  return sign | code;
}

export function narrowF8E4M3(src: usize, dst: usize, n: i32): void {
  for (let i = 0; i < n; i++) {
    store<u8>(dst + <usize>i, <u8>f8Bits(load<u32>(src + (<usize>i << 2)), 3, 7, 0x7f, 0x7f));
  }
}

export function narrowF8E5M2(src: usize, dst: usize, n: i32): void {
  for (let i = 0; i < n; i++) {
    store<u8>(dst + <usize>i, <u8>f8Bits(load<u32>(src + (<usize>i << 2)), 2, 15, 0x7c, 0x7e));
  }
}
