// Exact selection by value, as select.ts selects by magnitude, over order keys (keys.ts).
import { addKeys, orderKey } from './keys';

/** As countMagnitudes of select.ts, over order keys. */
export function countOrdered(src: usize, n: i32, low: u32, high: u32, shift: i32, histogram: usize): i32 {
  let above = 0;
  for (let i = 0; i < n; i++) {
    const key = orderKey(src + (<usize>i << 2));
    if (key >= high) above++;
    else if (key >= low) addKeys(key, 1, low, shift, histogram);
  }
  return above;
}

/** How many order keys equal `key`. */
export function countEqualOrdered(src: usize, n: i32, key: u32): i32 {
  let count = 0;
  for (let i = 0; i < n; i++) if (orderKey(src + (<usize>i << 2)) == key) count++;
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
  let largest: u32 = 0;
  for (let i = 0; i < n; i++) {
    const key = orderKey(src + (<usize>i << 2));
    if (key > largest) largest = key;
  }
  return largest;
}

/** The largest key of select.ts: the bits of the largest magnitude; 0 when there is no element. */
export function largestMagnitude(src: usize, n: i32): i32 {
  let largest = 0;
  for (let i = 0; i < n; i++) {
    const key = load<i32>(src + (<usize>i << 2)) & 0x7fffffff;
    if (key > largest) largest = key;
  }
  return largest;
}
