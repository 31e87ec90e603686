// Writes down which entries lie in a narrow range of keys, so that a place among them is found without another look at all. A list is a
// uint32, how many there are, and for each its key and its index. It must have room for all n.
import {
  differenceKey,
  highDifferenceKeys,
  lanes,
  lowDifferenceKeys,
  MAGNITUDE,
  orderKey,
  SIGN,
  signedOrderKeys,
} from './keys';

@inline
function append(list: usize, count: i32, key: i32, index: i32): void {
  const at = list + 4 + (<usize>count << 3);
  store<i32>(at, key);
  store<i32>(at, index, 4);
}

/** Counts keys >= high and lists those of [low, high); the first entry has index `first`. Returns the count. */
export function listMagnitudes(src: usize, n: i32, low: i32, high: i32, list: usize, first: i32): i32 {
  const mask = i32x4.splat(MAGNITUDE);
  const lows = i32x4.splat(low - 1);
  const highs = i32x4.splat(high - 1);
  let above = i32x4.splat(0);
  let count = load<i32>(list);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const at = src + (<usize>i << 2);
    const a = v128.and(v128.load(at), mask);
    const b = v128.and(v128.load(at, 16), mask);
    const aHigh = i32x4.gt_s(a, highs);
    const bHigh = i32x4.gt_s(b, highs);
    above = i32x4.add(above, i32x4.add(aHigh, bHigh));
    const aIn = v128.andnot(i32x4.gt_s(a, lows), aHigh);
    const bIn = v128.andnot(i32x4.gt_s(b, lows), bHigh);
    if (v128.any_true(v128.or(aIn, bIn))) {
      let bits = i32x4.bitmask(aIn) | (i32x4.bitmask(bIn) << 4);
      while (bits != 0) {
        const lane = ctz(bits);
        bits &= bits - 1;
        append(list, count++, load<i32>(at + (<usize>lane << 2)) & MAGNITUDE, first + i + lane);
      }
    }
  }
  let larger = -lanes(above);
  for (; i < n; i++) {
    const key = load<i32>(src + (<usize>i << 2)) & MAGNITUDE;
    if (key >= high) larger++;
    else if (key >= low) append(list, count++, key, first + i);
  }
  store<i32>(list, count);
  return larger;
}

/** As listMagnitudes over the differences a - b of raw bfloat16 values, see countDifferencesBF16. */
export function listDifferencesBF16(a: usize, b: usize, n: i32, low: i32, high: i32, list: usize, first: i32): i32 {
  const lows = i32x4.splat(low - 1);
  const highs = i32x4.splat(high - 1);
  let above = i32x4.splat(0);
  let count = load<i32>(list);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const x = v128.load(a + (<usize>i << 1));
    const y = v128.load(b + (<usize>i << 1));
    const p = lowDifferenceKeys(x, y);
    const q = highDifferenceKeys(x, y);
    const pHigh = i32x4.gt_s(p, highs);
    const qHigh = i32x4.gt_s(q, highs);
    above = i32x4.add(above, i32x4.add(pHigh, qHigh));
    const pIn = v128.andnot(i32x4.gt_s(p, lows), pHigh);
    const qIn = v128.andnot(i32x4.gt_s(q, lows), qHigh);
    if (v128.any_true(v128.or(pIn, qIn))) {
      let bits = i32x4.bitmask(pIn) | (i32x4.bitmask(qIn) << 4);
      while (bits != 0) {
        const lane = i + ctz(bits);
        bits &= bits - 1;
        append(list, count++, differenceKey(a, b, lane), first + lane);
      }
    }
  }
  let larger = -lanes(above);
  for (; i < n; i++) {
    const key = differenceKey(a, b, i);
    if (key >= high) larger++;
    else if (key >= low) append(list, count++, key, first + i);
  }
  store<i32>(list, count);
  return larger;
}

/** As listMagnitudes, over order keys. */
export function listOrdered(src: usize, n: i32, low: u32, high: u32, list: usize, first: i32): i32 {
  const lows = i32x4.splat(low ^ SIGN);
  const highs = i32x4.splat(high ^ SIGN);
  let above = i32x4.splat(0);
  let count = load<i32>(list);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const at = src + (<usize>i << 2);
    const a = signedOrderKeys(v128.load(at));
    const b = signedOrderKeys(v128.load(at, 16));
    const aHigh = i32x4.ge_s(a, highs);
    const bHigh = i32x4.ge_s(b, highs);
    above = i32x4.add(above, i32x4.add(aHigh, bHigh));
    const aIn = v128.andnot(i32x4.ge_s(a, lows), aHigh);
    const bIn = v128.andnot(i32x4.ge_s(b, lows), bHigh);
    if (v128.any_true(v128.or(aIn, bIn))) {
      let bits = i32x4.bitmask(aIn) | (i32x4.bitmask(bIn) << 4);
      while (bits != 0) {
        const lane = ctz(bits);
        bits &= bits - 1;
        append(list, count++, orderKey(at + (<usize>lane << 2)), first + i + lane);
      }
    }
  }
  let larger = -lanes(above);
  for (; i < n; i++) {
    const key = orderKey(src + (<usize>i << 2));
    if (key >= high) larger++;
    else if (key >= low) append(list, count++, key, first + i);
  }
  store<i32>(list, count);
  return larger;
}

/** Writes order keys less 2^31, which are in order as signed integers, for findPlace. */
export function signedKeys(src: usize, dst: usize, n: i32): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(dst + (<usize>i << 2), signedOrderKeys(v128.load(src + (<usize>i << 2))));
  for (; i < n; i++) store<u32>(dst + (<usize>i << 2), orderKey(src + (<usize>i << 2)) ^ SIGN);
}
