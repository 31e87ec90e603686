import { addKey } from './select.js';

/** Plain TypeScript twins of assembly/order.ts, over float32 bits. */

/** Unsigned integer that orders values as their float32 bits stand for them; -0 counts as +0. */
export function orderKey(bits: number): number {
  if (bits === 0x80000000) return bits;
  return (bits & 0x80000000) === 0 ? (bits | 0x80000000) >>> 0 : ~bits >>> 0;
}

export function countOrdered(
  src: Uint32Array,
  low: number,
  high: number,
  shift: number,
  histogram: Uint32Array,
): number {
  let above = 0;
  for (const bits of src) {
    const key = orderKey(bits);
    if (key >= high) above++;
    else if (key >= low) addKey(key, low, shift, histogram);
  }
  return above;
}

export function countEqualOrdered(src: Uint32Array, key: number): number {
  return src.reduce((count, bits) => count + (orderKey(bits) === key ? 1 : 0), 0);
}

export function findEqualOrdered(src: Uint32Array, key: number, nth: number): number {
  let seen = 0;
  for (let i = 0; i < src.length; i++) {
    if (orderKey(src[i]!) === key && ++seen === nth) return i + 1;
  }
  return -1;
}

export function largestOrdered(src: Uint32Array): number {
  return src.reduce((largest, bits) => Math.max(largest, orderKey(bits)), 0);
}

export function largestMagnitude(src: Uint32Array): number {
  return src.reduce((largest, bits) => Math.max(largest, bits & 0x7fffffff), 0);
}
