// One task vector for many, and which of its entries each of them shares. float32 areas, padded to multiples of four.
import { highHalf, lowHalf } from './arithmetic';

/**
 * Entry by entry g = + where the sum of `count` task vectors, `stride` bytes apart, is above 0, else -; dst = g times the largest
 * magnitude among the entries of sign g, 0 where there is none.
 */
export function unify(deltas: usize, stride: usize, count: i32, dst: usize, n: i32): void {
  const zero = f32x4.splat(0);
  if (count == 2) {
    // pmax and pmin take the first where an entry is NaN.
    for (let i = 0; i < n; i += 4) {
      const a = v128.load(deltas + (<usize>i << 2));
      const b = v128.load(deltas + (<usize>i << 2) + stride);
      const up = f32x4.pmax(f32x4.pmax(zero, a), b);
      const down = f32x4.pmin(f32x4.pmin(zero, a), b);
      v128.store(dst + (<usize>i << 2), v128.bitselect(up, down, f32x4.gt(f32x4.add(a, b), zero)));
    }
    return;
  }
  for (let i = 0; i < n; i += 4) {
    const first = deltas + (<usize>i << 2);
    let sum = v128.load(first);
    let up = f32x4.pmax(zero, sum);
    let down = f32x4.pmin(zero, sum);
    for (let k = 1; k < count; k++) {
      const own = v128.load(first + <usize>k * stride);
      sum = f32x4.add(sum, own);
      up = f32x4.pmax(up, own);
      down = f32x4.pmin(down, own);
    }
    v128.store(dst + (<usize>i << 2), v128.bitselect(up, down, f32x4.gt(sum, zero)));
  }
}

/** Where two entries have the same sign and neither is 0. */
@inline
function agree(own: v128, all: v128): v128 {
  const zero = f32x4.splat(0);
  return v128.or(
    v128.and(f32x4.gt(own, zero), f32x4.gt(all, zero)),
    v128.and(f32x4.lt(own, zero), f32x4.lt(all, zero)),
  );
}

/** Replaces each entry of `data` by that of `unified` where both have the same sign and neither is 0, else by +0; in place. */
export function takeAgreed(data: usize, unified: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const all = v128.load(unified + at);
    v128.store(data + at, v128.and(all, agree(v128.load(data + at), all)));
  }
}

/** Sum of magnitudes of what takeAgreed would leave, as sumMagnitudes has it; `data` stays. Zeros must follow the last entry up to a multiple of four. */
export function sumShared(data: usize, unified: usize, n: i32): f64 {
  let front = f64x2.splat(0);
  let back = f64x2.splat(0);
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const all = v128.load(unified + at);
    const x = f32x4.abs(v128.and(all, agree(v128.load(data + at), all)));
    front = f64x2.add(front, lowHalf(x));
    back = f64x2.add(back, highHalf(x));
  }
  const first = f64x2.extract_lane(front, 0) + f64x2.extract_lane(front, 1);
  return first + (f64x2.extract_lane(back, 0) + f64x2.extract_lane(back, 1));
}

/** One bit for each of n entries, set where it is not 0; the first entry is the lowest bit of the first byte. */
export function packNonzero(src: usize, dst: usize, n: i32): void {
  const zero = f32x4.splat(0);
  let i = 0;
  for (; i + 8 <= n; i += 8) {
    const at = src + (<usize>i << 2);
    const a = f32x4.ne(v128.load(at), zero);
    const b = f32x4.ne(v128.load(at, 16), zero);
    store<u8>(dst + (<usize>i >> 3), i32x4.bitmask(a) | (i32x4.bitmask(b) << 4));
  }
  if (i == n) return;
  let bits = 0;
  for (let j = 0; i + j < n; j++) {
    if (load<f32>(src + (<usize>(i + j) << 2)) != 0) bits |= 1 << j;
  }
  store<u8>(dst + (<usize>i >> 3), bits);
}
