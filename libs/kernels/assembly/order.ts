// Exact selection by value, as select.ts selects by magnitude, over order keys (keys.ts).
import { addKeys, lanes, MAGNITUDE, most, orderKey, SIGN, signedOrderKeys } from './keys';

/** As countMagnitudes of select.ts, over order keys. */
export function countOrdered(src: usize, n: i32, low: u32, high: u32, shift: i32, histogram: usize): i32 {
  const lows = i32x4.splat(low ^ SIGN);
  const highs = i32x4.splat(high ^ SIGN);
  let above = i32x4.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = src + (<usize>i << 2);
    const keys = signedOrderKeys(v128.load(at));
    const isHigh = i32x4.ge_s(keys, highs);
    above = i32x4.add(above, isHigh);
    let bits = i32x4.bitmask(v128.andnot(i32x4.ge_s(keys, lows), isHigh));
    while (bits != 0) {
      const lane = <usize>ctz(bits);
      bits &= bits - 1;
      addKeys(orderKey(at + (lane << 2)), 1, low, shift, histogram);
    }
  }
  let larger = -lanes(above);
  for (; i < n; i++) {
    const key = orderKey(src + (<usize>i << 2));
    if (key >= high) larger++;
    else if (key >= low) addKeys(key, 1, low, shift, histogram);
  }
  return larger;
}

/** How many order keys equal `key`. */
export function countEqualOrdered(src: usize, n: i32, key: u32): i32 {
  const keys = i32x4.splat(key ^ SIGN);
  let equal = i32x4.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    equal = i32x4.sub(equal, i32x4.eq(signedOrderKeys(v128.load(src + (<usize>i << 2))), keys));
  }
  let count = lanes(equal);
  for (; i < n; i++) if (orderKey(src + (<usize>i << 2)) == key) count++;
  return count;
}

/** Index just after the `nth` (1-based) element whose order key equals `key`, or -1 when there are fewer. */
export function findEqualOrdered(src: usize, n: i32, key: u32, nth: i32): i32 {
  let seen = 0;
  for (let i = 0; i < n; i++) {
    if (orderKey(src + (<usize>i << 2)) == key && ++seen == nth) return i + 1;
  }
  return -1;
}

/** The largest order key; 0 when there is no element. */
export function largestOrdered(src: usize, n: i32): u32 {
  let largest = i32x4.splat(i32.MIN_VALUE);
  let i = 0;
  for (; i + 4 <= n; i += 4) largest = i32x4.max_s(largest, signedOrderKeys(v128.load(src + (<usize>i << 2))));
  let key = <u32>most(largest) ^ SIGN;
  for (; i < n; i++) key = max(key, orderKey(src + (<usize>i << 2)));
  return key;
}

/** The largest key of select.ts: the bits of the largest magnitude; 0 when there is no element. */
export function largestMagnitude(src: usize, n: i32): i32 {
  const mask = i32x4.splat(MAGNITUDE);
  let largest = i32x4.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) largest = i32x4.max_s(largest, v128.and(v128.load(src + (<usize>i << 2)), mask));
  let key = most(largest);
  for (; i < n; i++) key = max(key, load<i32>(src + (<usize>i << 2)) & MAGNITUDE);
  return key;
}
