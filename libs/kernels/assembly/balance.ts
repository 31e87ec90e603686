// PCB-Merging: entries of task vectors weighted by how they compete within a task and between tasks. Models' bounds lie in a table of
// eight float32 each: least and largest magnitude, weight, least and largest balance that is kept; three are free.

import { expOf, tanhOf } from './exponential';

/** Bytes of a model's bounds. */
const ROW: usize = 32;
/** Below this tanh(x) rounds to x: x² / 3 is less than half of what the last digit of a float32 is worth. */
const LINEAR: f32 = 0.000244140625;

@inline
function boundOf(table: usize, model: i32, place: usize): v128 {
  return v128.load32_splat(table + <usize>model * ROW + (place << 2));
}

@inline
function backHalf(x: v128): v128 {
  return i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
}

/** Two pairs of float64 → four float32. */
@inline
function demote(front: v128, back: v128): v128 {
  const a = f32x4.demote_f64x2_zero(front);
  const b = f32x4.demote_f64x2_zero(back);
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
}

/** |x| between the bounds; NaN stays NaN. */
@inline
function clip(x: v128, low: v128, high: v128): v128 {
  const size = f32x4.abs(x);
  return v128.bitselect(low, v128.bitselect(high, size, f32x4.gt(size, high)), f32x4.lt(size, low));
}

/** `size` with the sign of x; x itself where that is 0 or NaN. */
@inline
function signed(size: v128, x: v128): v128 {
  const own = v128.xor(size, v128.and(x, i32x4.splat(0x80000000)));
  return v128.bitselect(own, x, f32x4.gt(f32x4.abs(x), f32x4.splat(0)));
}

/** (x - low) / (high - low); 0 where the bounds are equal. */
@inline
function scaled(x: v128, low: v128, high: v128): v128 {
  const range = f32x4.sub(high, low);
  return v128.andnot(f32x4.div(f32x4.sub(x, low), range), f32x4.eq(range, f32x4.splat(0)));
}

@inline
function unitOf(x: v128, table: usize, model: i32): v128 {
  const low = boundOf(table, model, 0);
  const high = boundOf(table, model, 1);
  return scaled(clip(x, low, high), low, high);
}

@inline
function expLanes(x: v128): v128 {
  return demote(expOf(f64x2.promote_low_f32x4(x)), expOf(f64x2.promote_low_f32x4(backHalf(x))));
}

@inline
function tanhLanes(x: v128): v128 {
  if (!v128.any_true(f32x4.ge(f32x4.abs(x), f32x4.splat(LINEAR)))) return x;
  return demote(tanhOf(f64x2.promote_low_f32x4(x)), tanhOf(f64x2.promote_low_f32x4(backHalf(x))));
}

/** Sum over the models of the units with their entries' signs. */
@inline
function sumUnits(at: usize, stride: usize, count: i32, table: usize): v128 {
  let sum = f32x4.splat(0);
  for (let k = 0; k < count; k++) {
    const x = v128.load(at + <usize>k * stride);
    sum = f32x4.add(sum, signed(unitOf(x, table, k), x));
  }
  return sum;
}

/** exp(count unit²) tanh(x sum) */
@inline
function balanceOf(x: v128, sum: v128, unit: v128, counts: v128): v128 {
  const within = expLanes(f32x4.mul(counts, f32x4.mul(unit, unit)));
  return f32x4.mul(within, tanhLanes(f32x4.mul(x, sum)));
}

/**
 * Replaces each entry x_k of `count` task vectors (float32, `stride` bytes apart) by
 *   B_k = exp(count u_k²) tanh(x_k sum_j sign(x_j) u_j),  u = |x| clipped to its model's two magnitudes, and scaled to [0, 1] between them,
 * exp and tanh in float64, everything else and what they give rounded to float32. u is 0 where the two are equal.
 * n must be a multiple of 4 (pad with zeros).
 */
export function balance(deltas: usize, stride: usize, count: i32, table: usize, n: i32): void {
  const counts = f32x4.splat(<f32>count);
  const end = <usize>n << 2;
  for (let at = deltas; at < deltas + end; at += 16) {
    const sum = sumUnits(at, stride, count, table);
    for (let k = 0; k < count; k++) {
      const place = at + <usize>k * stride;
      const x = v128.load(place);
      v128.store(place, balanceOf(x, sum, unitOf(x, table, k), counts));
    }
  }
}

/**
 * dst = sum_k w_k sign(x_k) c_k s_k / max(sum_k s_k, 1e-12):  c_k = |x_k| clipped to its model's two magnitudes;  s_k = B_k of `balance`, 0
 * below the lower of its model's two balances, and scaled to [0, 1] between them (0 where they are equal).
 * n must be a multiple of 4 (pad with zeros).
 */
export function mergeBalanced(deltas: usize, stride: usize, count: i32, table: usize, dst: usize, n: i32): void {
  const counts = f32x4.splat(<f32>count);
  const end = <usize>n << 2;
  for (let at: usize = 0; at < end; at += 16) {
    const sum = sumUnits(deltas + at, stride, count, table);
    let merged = f32x4.splat(0);
    let total = f32x4.splat(0);
    for (let k = 0; k < count; k++) {
      const x = v128.load(deltas + at + <usize>k * stride);
      const low = boundOf(table, k, 0);
      const high = boundOf(table, k, 1);
      const size = clip(x, low, high);
      const own = f32x4.mul(boundOf(table, k, 2), signed(size, x));
      const b = balanceOf(x, sum, scaled(size, low, high), counts);
      const least = boundOf(table, k, 3);
      // The upper bound is the largest balance, so only the lower one clips; NaN passes.
      const share = v128.andnot(scaled(b, least, boundOf(table, k, 4)), f32x4.lt(b, least));
      merged = f32x4.add(merged, f32x4.mul(own, share));
      total = f32x4.add(total, share);
    }
    v128.store(dst + at, f32x4.div(merged, f32x4.max(total, f32x4.splat(1e-12))));
  }
}
