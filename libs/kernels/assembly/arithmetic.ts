// Element-wise float32 arithmetic, one rounding an operation (no fused multiply-add), and float64 sums with a fixed order.
import { highFloats, lowFloats } from './keys';

/** dst = a - b */
export function subtract(a: usize, b: usize, dst: usize, n: i32): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = <usize>i << 2;
    v128.store(dst + at, f32x4.sub(v128.load(a + at), v128.load(b + at)));
  }
  for (; i < n; i++) {
    const at = <usize>i << 2;
    store<f32>(dst + at, load<f32>(a + at) - load<f32>(b + at));
  }
}

/** dst = a - b for raw bfloat16 `a`; the same as widening it first. */
export function subtractBF16(a: usize, b: usize, dst: usize, n: i32): void {
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const at = <usize>i << 2;
    const x = v128.load(a + (<usize>i << 1));
    v128.store(dst + at, f32x4.sub(lowFloats(x), v128.load(b + at)));
    v128.store(dst + at, f32x4.sub(highFloats(x), v128.load(b + at, 16)), 16);
  }
  for (; i < n; i++) {
    const at = <usize>i << 2;
    const x = reinterpret<f32>((<u32>load<u16>(a + (<usize>i << 1))) << 16);
    store<f32>(dst + at, x - load<f32>(b + at));
  }
}

/** dst = src * factor */
export function scale(src: usize, factor: f32, dst: usize, n: i32): void {
  const f = f32x4.splat(factor);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = <usize>i << 2;
    v128.store(dst + at, f32x4.mul(v128.load(src + at), f));
  }
  for (; i < n; i++) {
    const at = <usize>i << 2;
    store<f32>(dst + at, load<f32>(src + at) * factor);
  }
}

/** dst = dst + src * factor */
export function accumulate(src: usize, factor: f32, dst: usize, n: i32): void {
  const f = f32x4.splat(factor);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = <usize>i << 2;
    v128.store(dst + at, f32x4.add(v128.load(dst + at), f32x4.mul(v128.load(src + at), f)));
  }
  for (; i < n; i++) {
    const at = <usize>i << 2;
    store<f32>(dst + at, load<f32>(dst + at) + load<f32>(src + at) * factor);
  }
}

/** dst = src / divisor */
export function divide(src: usize, divisor: f32, dst: usize, n: i32): void {
  const d = f32x4.splat(divisor);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = <usize>i << 2;
    v128.store(dst + at, f32x4.div(v128.load(src + at), d));
  }
  for (; i < n; i++) {
    const at = <usize>i << 2;
    store<f32>(dst + at, load<f32>(src + at) / divisor);
  }
}

/** dst = base + delta * factor */
export function addScaled(base: usize, delta: usize, factor: f32, dst: usize, n: i32): void {
  const f = f32x4.splat(factor);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = <usize>i << 2;
    v128.store(dst + at, f32x4.add(v128.load(base + at), f32x4.mul(v128.load(delta + at), f)));
  }
  for (; i < n; i++) {
    const at = <usize>i << 2;
    store<f32>(dst + at, load<f32>(base + at) + load<f32>(delta + at) * factor);
  }
}

/** Each x of `data` becomes x * min(1, limit / max(|x|, least)), in place; where that factor is not below 1, NaN's say, x stays as it is. */
export function limitMagnitude(data: usize, limit: f32, least: f32, n: i32): void {
  const limits = f32x4.splat(limit);
  const leasts = f32x4.splat(least);
  const one = f32x4.splat(1);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = data + (<usize>i << 2);
    const x = v128.load(at);
    const share = f32x4.div(limits, f32x4.max(f32x4.abs(x), leasts));
    v128.store(at, v128.bitselect(f32x4.mul(x, share), x, f32x4.lt(share, one)));
  }
  for (; i < n; i++) {
    const at = data + (<usize>i << 2);
    const x = load<f32>(at);
    const share = limit / max(abs(x), least);
    if (share < 1) store<f32>(at, x * share);
  }
}

/** Sum of squares in float64. Element i goes to partial sum i mod 4; the result is (p0 + p1) + (p2 + p3). */
export function sumSquares(src: usize, n: i32): f64 {
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const x = v128.load(src + (<usize>i << 2));
    const a = f64x2.promote_low_f32x4(x);
    const b = f64x2.promote_low_f32x4(i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
    low = f64x2.add(low, f64x2.mul(a, a));
    high = f64x2.add(high, f64x2.mul(b, b));
  }
  let p0 = f64x2.extract_lane(low, 0);
  let p1 = f64x2.extract_lane(low, 1);
  let p2 = f64x2.extract_lane(high, 0);
  if (i < n) {
    const x = <f64>load<f32>(src + (<usize>i << 2));
    p0 += x * x;
  }
  if (i + 1 < n) {
    const x = <f64>load<f32>(src + (<usize>i << 2), 4);
    p1 += x * x;
  }
  if (i + 2 < n) {
    const x = <f64>load<f32>(src + (<usize>i << 2), 8);
    p2 += x * x;
  }
  return (p0 + p1) + (p2 + f64x2.extract_lane(high, 1));
}

@inline
export function lowHalf(x: v128): v128 {
  return f64x2.promote_low_f32x4(x);
}

@inline
export function highHalf(x: v128): v128 {
  return f64x2.promote_low_f32x4(i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
}

/** Sum of magnitudes in float64, its terms in the same partial sums as those of sumSquares. */
export function sumMagnitudes(src: usize, n: i32): f64 {
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const x = f32x4.abs(v128.load(src + (<usize>i << 2)));
    low = f64x2.add(low, lowHalf(x));
    high = f64x2.add(high, highHalf(x));
  }
  let p0 = f64x2.extract_lane(low, 0);
  let p1 = f64x2.extract_lane(low, 1);
  let p2 = f64x2.extract_lane(high, 0);
  const at = <usize>i << 2;
  if (i < n) p0 += abs(<f64>load<f32>(src + at));
  if (i + 1 < n) p1 += abs(<f64>load<f32>(src + at, 4));
  if (i + 2 < n) p2 += abs(<f64>load<f32>(src + at, 8));
  return (p0 + p1) + (p2 + f64x2.extract_lane(high, 1));
}

/** Inner product in float64, its terms in the same partial sums as those of sumSquares. */
export function dot(a: usize, b: usize, n: i32): f64 {
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const x = v128.load(a + (<usize>i << 2));
    const y = v128.load(b + (<usize>i << 2));
    low = f64x2.add(low, f64x2.mul(lowHalf(x), lowHalf(y)));
    high = f64x2.add(high, f64x2.mul(highHalf(x), highHalf(y)));
  }
  let p0 = f64x2.extract_lane(low, 0);
  let p1 = f64x2.extract_lane(low, 1);
  let p2 = f64x2.extract_lane(high, 0);
  const at = <usize>i << 2;
  if (i < n) p0 += <f64>load<f32>(a + at) * <f64>load<f32>(b + at);
  if (i + 1 < n) p1 += <f64>load<f32>(a + at, 4) * <f64>load<f32>(b + at, 4);
  if (i + 2 < n) p2 += <f64>load<f32>(a + at, 8) * <f64>load<f32>(b + at, 8);
  return (p0 + p1) + (p2 + f64x2.extract_lane(high, 1));
}
