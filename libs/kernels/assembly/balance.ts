// PCB-Merging: entries of task vectors weighted by how they compete within a task and between tasks. Models' bounds lie in a table of
// eight float32 each: least and largest magnitude, weight, least and largest balance that is kept; one is the kernels' own, two are free.
// Few balances are kept: what is certainly below is found by a bound, and exp and tanh are for the others, which are listed.

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
  return f32x4.pmax(f32x4.pmin(f32x4.abs(x), high), low);
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

/** Where 1 / (largest - least magnitude) is, or 0 where they are equal. */
const INVERSE = 5;
/** More than exp(z) for z in [0, 1], by less than 0.3 %, is GROWTH (1 + z + z² / 2 + CUBIC z³); GROWTH is for what rounding takes away. */
const CUBIC: f32 = 0.21829;
const GROWTH: f32 = 1.000004;

function writeInverses(table: usize, count: i32): void {
  for (let k = 0; k < count; k++) {
    const row = table + <usize>k * ROW;
    const range = load<f32>(row, 4) - load<f32>(row);
    store<f32>(row, range == 0 ? 0 : 1 / range, INVERSE << 2);
  }
}

/** The lowest of the models' least balances. */
function lowestOf(table: usize, count: i32): f32 {
  let lowest = load<f32>(table, 12);
  for (let k = 1; k < count; k++) lowest = min(lowest, load<f32>(table + <usize>k * ROW, 12));
  return lowest;
}

/** What rounding may take away from a sum of units. */
@inline
function slackOf(count: i32): v128 {
  return f32x4.splat(<f32>(count * count) * 0.0000005);
}

/**
 * What no model's balance is above: exp(count u²) min(1, s |sum|) with the largest of the models' units u and magnitudes s. NaN where an entry
 * is NaN or a bound is not finite.
 */
@inline
function mostOf(at: usize, stride: usize, count: i32, table: usize, slack: v128): v128 {
  let sum = f32x4.splat(0);
  let unit = sum;
  let size = sum;
  for (let k = 0; k < count; k++) {
    const x = v128.load(at + <usize>k * stride);
    const low = boundOf(table, k, 0);
    const own = f32x4.mul(f32x4.sub(clip(x, low, boundOf(table, k, 1)), low), boundOf(table, k, INVERSE));
    sum = f32x4.add(sum, v128.xor(own, v128.and(x, i32x4.splat(0x80000000))));
    unit = f32x4.pmax(unit, own);
    size = f32x4.pmax(size, f32x4.abs(x));
  }
  const z = f32x4.mul(unit, unit);
  const cubic = f32x4.add(f32x4.splat(0.5 * GROWTH), f32x4.mul(z, f32x4.splat(CUBIC * GROWTH)));
  const square = f32x4.add(f32x4.splat(GROWTH), f32x4.mul(z, cubic));
  const each = f32x4.add(f32x4.splat(GROWTH), f32x4.mul(z, square));
  let within = each;
  for (let k = 1; k < count; k++) within = f32x4.mul(within, each);
  const between = f32x4.mul(size, f32x4.add(f32x4.abs(sum), slack));
  return f32x4.mul(within, f32x4.pmin(between, f32x4.splat(1)));
}

/** Entries that are looked at before those that are listed of them are worked out. */
const STRETCH: usize = 512;
/** Offsets in bytes, uint32. */
const LIST: usize = memory.data(2064, 16);

/** Lists those of four entries at this offset whose lane is set in `bits`; returns where the list ends. */
@inline
function listFour(next: usize, offset: usize, bits: usize): usize {
  store<u32>(next, <u32>offset);
  next += (bits & 1) << 2;
  store<u32>(next, <u32>offset + 4);
  next += (bits & 2) << 1;
  store<u32>(next, <u32>offset + 8);
  next += bits & 4;
  store<u32>(next, <u32>offset + 12);
  return next + ((bits & 8) >> 1);
}

/** Repeats the last one until whole vectors of four are listed. */
@inline
function fillFour(next: usize): usize {
  for (; (next & 15) != 0; next += 4) store<u32>(next, load<u32>(next - 4));
  return next;
}

/** The four listed entries of what lies at `at`. */
@inline
function gather(at: usize, list: usize): v128 {
  let x = v128.load32_zero(at + <usize>load<u32>(list));
  x = v128.load32_lane(at + <usize>load<u32>(list, 4), x, 1);
  x = v128.load32_lane(at + <usize>load<u32>(list, 8), x, 2);
  return v128.load32_lane(at + <usize>load<u32>(list, 12), x, 3);
}

@inline
function scatter(at: usize, list: usize, x: v128): void {
  v128.store32_lane(at + <usize>load<u32>(list), x, 0);
  v128.store32_lane(at + <usize>load<u32>(list, 4), x, 1);
  v128.store32_lane(at + <usize>load<u32>(list, 8), x, 2);
  v128.store32_lane(at + <usize>load<u32>(list, 12), x, 3);
}

/** Sum over the models of the units with their entries' signs. */
@inline
function sumUnits(at: usize, stride: usize, count: i32, table: usize, list: usize): v128 {
  let sum = f32x4.splat(0);
  for (let k = 0; k < count; k++) {
    const x = gather(at + <usize>k * stride, list);
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
 * exp and tanh in float64, everything else and what they give rounded to float32. u is 0 where the two are equal. What is below a model's
 * least balance becomes 0, if that is above 0.
 * n must be a multiple of 4 (pad with zeros).
 */
export function balance(deltas: usize, stride: usize, count: i32, table: usize, n: i32): void {
  writeInverses(table, count);
  const lowest = f32x4.splat(lowestOf(table, count));
  const slack = slackOf(count);
  const counts = f32x4.splat(<f32>count);
  const end = deltas + (<usize>n << 2);
  for (let first = deltas; first < end; first += STRETCH << 2) {
    const size = min(end - first, STRETCH << 2);
    let next = LIST;
    for (let offset: usize = 0; offset < size; offset += 16) {
      const low = f32x4.lt(mostOf(first + offset, stride, count, table, slack), lowest);
      next = listFour(next, offset, i32x4.bitmask(v128.not(low)));
      for (let k = 0; k < count; k++) {
        const place = first + offset + <usize>k * stride;
        v128.store(place, v128.andnot(v128.load(place), low));
      }
    }
    const last = fillFour(next);
    for (let list = LIST; list < last; list += 16) {
      const sum = sumUnits(first, stride, count, table, list);
      for (let k = 0; k < count; k++) {
        const x = gather(first + <usize>k * stride, list);
        const b = balanceOf(x, sum, unitOf(x, table, k), counts);
        const least = boundOf(table, k, 3);
        const isLow = v128.and(f32x4.lt(b, least), f32x4.gt(least, f32x4.splat(0)));
        scatter(first + <usize>k * stride, list, v128.andnot(b, isLow));
      }
    }
  }
}

/**
 * dst = sum_k w_k sign(x_k) c_k s_k / max(sum_k s_k, 1e-12):  c_k = |x_k| clipped to its model's two magnitudes;  s_k = B_k of `balance`, 0
 * below the lower of its model's two balances, and scaled to [0, 1] between them (0 where they are equal).
 * n must be a multiple of 4 (pad with zeros).
 */
export function mergeBalanced(deltas: usize, stride: usize, count: i32, table: usize, dst: usize, n: i32): void {
  writeInverses(table, count);
  const lowest = f32x4.splat(lowestOf(table, count));
  const slack = slackOf(count);
  const counts = f32x4.splat(<f32>count);
  const end = <usize>n << 2;
  for (let start: usize = 0; start < end; start += STRETCH << 2) {
    const first = deltas + start;
    const size = min(end - start, STRETCH << 2);
    let next = LIST;
    for (let offset: usize = 0; offset < size; offset += 16) {
      const low = f32x4.lt(mostOf(first + offset, stride, count, table, slack), lowest);
      next = listFour(next, offset, i32x4.bitmask(v128.not(low)));
      // What is not listed has shares of 0 only.
      v128.store(dst + start + offset, f32x4.splat(0));
    }
    const last = fillFour(next);
    for (let list = LIST; list < last; list += 16) {
      const sum = sumUnits(first, stride, count, table, list);
      let merged = f32x4.splat(0);
      let total = f32x4.splat(0);
      for (let k = 0; k < count; k++) {
        const x = gather(first + <usize>k * stride, list);
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
      scatter(dst + start, list, f32x4.div(merged, f32x4.max(total, f32x4.splat(1e-12))));
    }
  }
}
