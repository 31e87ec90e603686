// SCE: how far task vectors are apart, element by element, and what is kept of them for it.

@inline
function low(x: v128): v128 {
  return f64x2.promote_low_f32x4(x);
}

@inline
function high(x: v128): v128 {
  return f64x2.promote_low_f32x4(i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
}

/** x / count. Where that is exact, by a power of two, it is a product with the inverse, which is many times as fast. */
@inline
function share(x: v128, by: v128, isExact: bool): v128 {
  return isExact ? f64x2.mul(x, by) : f64x2.div(x, by);
}

/**
 * dst = population variance over `count` task vectors (float32, `stride` bytes apart), in float64 with sums in their order, rounded
 * once to float32. Exactly 0 where all are equal. n must be a multiple of 4.
 */
export function variance(deltas: usize, stride: usize, count: i32, dst: usize, n: i32): void {
  if (count == 2) writePairVariance(deltas, deltas + stride, dst, n);
  else if ((count & (count - 1)) == 0) writeVariance(deltas, stride, count, dst, n, true);
  else writeVariance(deltas, stride, count, dst, n, false);
}

/** As writeVariance of two, without loops. */
@inline
function writePairVariance(x: usize, y: usize, dst: usize, n: i32): void {
  const end = <usize>n << 2;
  for (let at: usize = 0; at < end; at += 16) v128.store(dst + at, pairLanes(v128.load(x + at), v128.load(y + at)));
}

@inline
function pairLanes(p: v128, q: v128): v128 {
  return demoted(pairVariance(low(p), low(q)), pairVariance(high(p), high(q)));
}

/** Two pairs of float64 → four float32. */
@inline
function demoted(front: v128, back: v128): v128 {
  const a = f32x4.demote_f64x2_zero(front);
  const b = f32x4.demote_f64x2_zero(back);
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
}

@inline
function pairVariance(x: v128, y: v128): v128 {
  const half = f64x2.splat(0.5);
  const mean = f64x2.mul(f64x2.add(x, y), half);
  const a = f64x2.sub(x, mean);
  const b = f64x2.sub(y, mean);
  return f64x2.mul(f64x2.add(f64x2.mul(a, a), f64x2.mul(b, b)), half);
}

@inline
function writeVariance(deltas: usize, stride: usize, count: i32, dst: usize, n: i32, isExact: bool): void {
  const by = divisorOf(count, isExact);
  const end = <usize>n << 2;
  for (let at: usize = 0; at < end; at += 16) {
    v128.store(dst + at, varianceLanes(deltas + at, stride, count, by, isExact));
  }
}

@inline
function divisorOf(count: i32, isExact: bool): v128 {
  return f64x2.splat(isExact ? 1 / <f64>count : <f64>count);
}

@inline
function varianceLanes(at: usize, stride: usize, count: i32, by: v128, isExact: bool): v128 {
  let lows = f64x2.splat(0);
  let highs = f64x2.splat(0);
  for (let k = 0; k < count; k++) {
    const x = v128.load(at + <usize>k * stride);
    lows = f64x2.add(lows, low(x));
    highs = f64x2.add(highs, high(x));
  }
  const lowMean = share(lows, by, isExact);
  const highMean = share(highs, by, isExact);
  lows = f64x2.splat(0);
  highs = f64x2.splat(0);
  for (let k = 0; k < count; k++) {
    const x = v128.load(at + <usize>k * stride);
    const a = f64x2.sub(low(x), lowMean);
    const b = f64x2.sub(high(x), highMean);
    lows = f64x2.add(lows, f64x2.mul(a, a));
    highs = f64x2.add(highs, f64x2.mul(b, b));
  }
  return demoted(share(lows, by, isExact), share(highs, by, isExact));
}

/**
 * Sets to +0 in all of `count` task vectors the elements whose variance, as `variance` has it, is smaller than the value whose bits are
 * `key`; of equal ones those with index `ties` and above too. n must be a multiple of 4.
 */
export function keepVaried(deltas: usize, stride: usize, count: i32, key: i32, ties: i32, n: i32): void {
  if (count == 2) keepVariedLanes(deltas, stride, 2, key, ties, n, true);
  else if ((count & (count - 1)) == 0) keepVariedLanes(deltas, stride, count, key, ties, n, true);
  else keepVariedLanes(deltas, stride, count, key, ties, n, false);
}

@inline
function keepVariedLanes(
  deltas: usize,
  stride: usize,
  count: i32,
  key: i32,
  ties: i32,
  n: i32,
  isExact: bool,
): void {
  const mask = i32x4.splat(0x7fffffff);
  const keys = i32x4.splat(key);
  const ends = i32x4.splat(ties);
  const by = divisorOf(count, isExact);
  let index = i32x4(0, 1, 2, 3);
  for (let i = 0; i < n; i += 4) {
    const at = deltas + (<usize>i << 2);
    const spread =
      count == 2
        ? pairLanes(v128.load(at), v128.load(at + stride))
        : varianceLanes(at, stride, count, by, isExact);
    // The bar is one lower where equals stay.
    const keep = i32x4.gt_s(v128.and(spread, mask), i32x4.add(keys, i32x4.lt_s(index, ends)));
    for (let k = 0; k < count; k++) {
      const place = at + <usize>k * stride;
      v128.store(place, v128.and(v128.load(place), keep));
    }
    index = i32x4.add(index, i32x4.splat(4));
  }
}

/** Sets elements of `data` to +0 where the key of `values` there (float32 bits without sign) is not above `bar`. */
export function keepWhere(data: usize, values: usize, n: i32, bar: i32): void {
  const mask = i32x4.splat(0x7fffffff);
  const bars = i32x4.splat(bar);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = <usize>i << 2;
    const keep = i32x4.gt_s(v128.and(v128.load(values + at), mask), bars);
    v128.store(data + at, v128.and(v128.load(data + at), keep));
  }
  for (; i < n; i++) {
    const at = <usize>i << 2;
    if ((load<i32>(values + at) & 0x7fffffff) <= bar) store<u32>(data + at, 0);
  }
}
