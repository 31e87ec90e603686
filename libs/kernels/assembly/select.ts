// Exact selection by magnitude without sorting: "the k largest" is a question of counting keys (keys.ts).
import { highHalf, lowHalf } from './arithmetic';
import { addKeys, differenceKey, highDifferenceKeys, lanes, lowDifferenceKeys, MAGNITUDE } from './keys';

/**
 * Counts keys >= high, and adds each key of [low, high) to the histogram at `histogram`, in bin (key - low) >> shift; see addKeys.
 * Returns the count. Keys are below 2^31, so signed comparison is right. `common` is a key of [low, high) that is expected
 * often, or -1: it is counted four at a time. It changes the speed only (differences of bfloat16 take few values).
 */
export function countMagnitudes(
  src: usize,
  n: i32,
  low: i32,
  high: i32,
  shift: i32,
  histogram: usize,
  common: i32,
): i32 {
  const mask = i32x4.splat(MAGNITUDE);
  const lows = i32x4.splat(low - 1);
  const highs = i32x4.splat(high - 1);
  const expected = i32x4.splat(common);
  let above = i32x4.splat(0);
  let equal = i32x4.splat(0);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const at = src + (<usize>i << 2);
    const a = v128.and(v128.load(at), mask);
    const b = v128.and(v128.load(at, 16), mask);
    const aHigh = i32x4.gt_s(a, highs);
    const bHigh = i32x4.gt_s(b, highs);
    above = i32x4.sub(above, i32x4.add(aHigh, bHigh));
    const aCommon = i32x4.eq(a, expected);
    const bCommon = i32x4.eq(b, expected);
    equal = i32x4.sub(equal, i32x4.add(aCommon, bCommon));
    const aIn = v128.andnot(i32x4.gt_s(a, lows), v128.or(aHigh, aCommon));
    const bIn = v128.andnot(i32x4.gt_s(b, lows), v128.or(bHigh, bCommon));
    if (v128.any_true(v128.or(aIn, bIn))) {
      let bits = i32x4.bitmask(aIn) | (i32x4.bitmask(bIn) << 4);
      while (bits != 0) {
        const lane = <usize>ctz(bits);
        bits &= bits - 1;
        addKeys(load<i32>(at + (lane << 2)) & MAGNITUDE, 1, low, shift, histogram);
      }
    }
  }
  const commons = lanes(equal);
  if (commons > 0) addKeys(common, commons, low, shift, histogram);
  let count = lanes(above);
  for (; i < n; i++) {
    const key = load<i32>(src + (<usize>i << 2)) & MAGNITUDE;
    if (key >= high) count++;
    else if (key >= low) addKeys(key, 1, low, shift, histogram);
  }
  return count;
}

/**
 * As countMagnitudes over the differences a - b of raw bfloat16 values, which never leave the registers: the search for a
 * trim's threshold reads every model once and keeps nothing.
 */
export function countDifferencesBF16(
  a: usize,
  b: usize,
  n: i32,
  low: i32,
  high: i32,
  shift: i32,
  histogram: usize,
  common: i32,
): i32 {
  const lows = i32x4.splat(low - 1);
  const highs = i32x4.splat(high - 1);
  const expected = i32x4.splat(common);
  let above = i32x4.splat(0);
  let equal = i32x4.splat(0);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const x = v128.load(a + (<usize>i << 1));
    const y = v128.load(b + (<usize>i << 1));
    const p = lowDifferenceKeys(x, y);
    const q = highDifferenceKeys(x, y);
    const pHigh = i32x4.gt_s(p, highs);
    const qHigh = i32x4.gt_s(q, highs);
    above = i32x4.sub(above, i32x4.add(pHigh, qHigh));
    const pCommon = i32x4.eq(p, expected);
    const qCommon = i32x4.eq(q, expected);
    equal = i32x4.sub(equal, i32x4.add(pCommon, qCommon));
    const pIn = v128.andnot(i32x4.gt_s(p, lows), v128.or(pHigh, pCommon));
    const qIn = v128.andnot(i32x4.gt_s(q, lows), v128.or(qHigh, qCommon));
    if (v128.any_true(v128.or(pIn, qIn))) {
      let bits = i32x4.bitmask(pIn) | (i32x4.bitmask(qIn) << 4);
      while (bits != 0) {
        const lane = <usize>ctz(bits);
        bits &= bits - 1;
        addKeys(differenceKey(a, b, i + <i32>lane), 1, low, shift, histogram);
      }
    }
  }
  const commons = lanes(equal);
  if (commons > 0) addKeys(common, commons, low, shift, histogram);
  let count = lanes(above);
  for (; i < n; i++) {
    const key = differenceKey(a, b, i);
    if (key >= high) count++;
    else if (key >= low) addKeys(key, 1, low, shift, histogram);
  }
  return count;
}

/** How many keys equal `key`. */
export function countEqual(src: usize, n: i32, key: i32): i32 {
  let count = 0;
  const mask = i32x4.splat(MAGNITUDE);
  const keys = i32x4.splat(key);
  let equal = i32x4.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    equal = i32x4.sub(equal, i32x4.eq(v128.and(v128.load(src + (<usize>i << 2)), mask), keys));
  }
  count = lanes(equal);
  for (; i < n; i++) {
    if ((load<i32>(src + (<usize>i << 2)) & MAGNITUDE) == key) count++;
  }
  return count;
}

/** Index just after the `nth` (1-based) element whose key equals `key`, or -1 when there are fewer. */
export function findEqual(src: usize, n: i32, key: i32, nth: i32): i32 {
  let seen = 0;
  for (let i = 0; i < n; i++) {
    if ((load<i32>(src + (<usize>i << 2)) & MAGNITUDE) == key) {
      seen++;
      if (seen == nth) return i + 1;
    }
  }
  return -1;
}

/**
 * Sets elements with key <= inner or > outer to +0, in place; an inner of -1 and an outer of 2^31 - 1 keep every element. Stores how many
 * were kept, int32, at `kept`, and returns the sum of squares of all as they were, the same as sumSquares: its additions wait for each
 * other, and the rest is done meanwhile.
 */
export function keepBand(data: usize, n: i32, inner: i32, outer: i32, kept: usize): f64 {
  const mask = i32x4.splat(MAGNITUDE);
  const inners = i32x4.splat(inner);
  const outers = i32x4.splat(outer);
  let count = i32x4.splat(0);
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const at = data + (<usize>i << 2);
    const x = v128.load(at);
    const y = v128.load(at, 16);
    const xLow = lowHalf(x);
    const xHigh = highHalf(x);
    const yLow = lowHalf(y);
    const yHigh = highHalf(y);
    low = f64x2.add(f64x2.add(low, f64x2.mul(xLow, xLow)), f64x2.mul(yLow, yLow));
    high = f64x2.add(f64x2.add(high, f64x2.mul(xHigh, xHigh)), f64x2.mul(yHigh, yHigh));
    const xKeys = v128.and(x, mask);
    const yKeys = v128.and(y, mask);
    const xKeep = v128.andnot(i32x4.gt_s(xKeys, inners), i32x4.gt_s(xKeys, outers));
    const yKeep = v128.andnot(i32x4.gt_s(yKeys, inners), i32x4.gt_s(yKeys, outers));
    count = i32x4.sub(count, i32x4.add(xKeep, yKeep));
    v128.store(at, v128.and(x, xKeep));
    v128.store(at, v128.and(y, yKeep), 16);
  }
  if (i + 4 <= n) {
    const at = data + (<usize>i << 2);
    const x = v128.load(at);
    const xLow = lowHalf(x);
    const xHigh = highHalf(x);
    low = f64x2.add(low, f64x2.mul(xLow, xLow));
    high = f64x2.add(high, f64x2.mul(xHigh, xHigh));
    const keys = v128.and(x, mask);
    const keep = v128.andnot(i32x4.gt_s(keys, inners), i32x4.gt_s(keys, outers));
    count = i32x4.sub(count, keep);
    v128.store(at, v128.and(x, keep));
    i += 4;
  }
  let many = lanes(count);
  let p0 = f64x2.extract_lane(low, 0);
  let p1 = f64x2.extract_lane(low, 1);
  let p2 = f64x2.extract_lane(high, 0);
  for (let lane = 0; i < n; i++, lane++) {
    const at = data + (<usize>i << 2);
    const x = <f64>load<f32>(at);
    if (lane == 0) p0 += x * x;
    else if (lane == 1) p1 += x * x;
    else p2 += x * x;
    const key = load<i32>(at) & MAGNITUDE;
    if (key > inner && key <= outer) many++;
    else store<u32>(at, 0);
  }
  store<i32>(kept, many);
  return (p0 + p1) + (p2 + f64x2.extract_lane(high, 1));
}
