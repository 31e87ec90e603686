// PCB-Merging: entries of task vectors weighted by how they compete within a task and between tasks. Models' bounds lie in a table of
// eight float32 each: least and largest magnitude, weight, least and largest balance that is kept; one is the kernels' own, two are free.
// Few balances are kept. Entries that no model keeps for certain are passed over by their magnitudes alone; of the others, which are listed,
// the sums of units are formed, and with these a bound for each model's balance. exp and tanh are for what that leaves.

import { expOf, tanhOf } from './exponential';
import { MAGNITUDE } from './keys';

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

/** More than exp(count unit²). */
@inline
function growthOf(unit: v128, count: i32): v128 {
  const z = f32x4.mul(unit, unit);
  const cubic = f32x4.add(f32x4.splat(0.5 * GROWTH), f32x4.mul(z, f32x4.splat(CUBIC * GROWTH)));
  const square = f32x4.add(f32x4.splat(GROWTH), f32x4.mul(z, cubic));
  const each = f32x4.add(f32x4.splat(GROWTH), f32x4.mul(z, square));
  let growth = each;
  for (let k = 1; k < count; k++) growth = f32x4.mul(growth, each);
  return growth;
}

/**
 * What no balance is above of an entry whose magnitudes are `size` at most: exp(count u²) min(1, size sum of units). NaN where a bound is not
 * finite.
 */
function mostUpTo(size: f32, table: usize, count: i32): f32 {
  const x = f32x4.splat(size);
  // What rounding may take away from a sum of units.
  let sum = f32x4.splat(<f32>(count * count) * 0.0000005);
  let unit = f32x4.splat(0);
  for (let k = 0; k < count; k++) {
    const low = boundOf(table, k, 0);
    const own = f32x4.mul(f32x4.sub(clip(x, low, boundOf(table, k, 1)), low), boundOf(table, k, INVERSE));
    sum = f32x4.add(sum, own);
    unit = f32x4.max(unit, own);
  }
  return f32x4.extract_lane(f32x4.mul(growthOf(unit, count), f32x4.min(f32x4.mul(x, sum), f32x4.splat(1))), 0);
}

const HALVINGS = 8;

/** The key of a magnitude, nearly as large as may be: entries of magnitudes up to it have balances below every model's least; -1: there is none. */
function passedOver(table: usize, count: i32): i32 {
  let lowest: f32 = Infinity;
  let end: f32 = 0;
  for (let k = 0; k < count; k++) {
    lowest = min(lowest, load<f32>(table + <usize>k * ROW, 12));
    end = max(end, load<f32>(table + <usize>k * ROW, 4));
  }
  let found: f32 = 0;
  if (!(mostUpTo(found, table, count) < lowest)) return -1;
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (found + end) / 2;
    if (mostUpTo(middle, table, count) < lowest) found = middle;
    else end = middle;
  }
  return reinterpret<i32>(found);
}

/** Entries that are looked at before those that are listed of them are worked out. */
const STRETCH: usize = 512;
/** Bytes of a list of as many, and what is written behind the last. */
const ROOM = 2064;
/** Entries that may matter: offsets in bytes, uint32, and sums of units, float32. */
const LIST: usize = memory.data(ROOM, 16);
const SUMS: usize = memory.data(ROOM, 16);
/** The largest of the models' magnitudes, in order. */
const LARGEST: usize = memory.data(ROOM, 16);
/** Those of one model: offsets, sums, values. */
const OWN: usize = memory.data(ROOM, 16);
const OWN_SUMS: usize = memory.data(ROOM, 16);
const OWN_VALUES: usize = memory.data(ROOM, 16);
/** Sums of shares of a stretch, by offset. */
const TOTALS: usize = memory.data(ROOM, 16);

/** By four bits: which bytes bring the lanes whose bits are set to the front. */
const FRONT: usize = memory.data(256, 16);

function writeFront(): void {
  for (let bits = 0; bits < 16; bits++) {
    let next = FRONT + (<usize>bits << 4);
    for (let lane = 0; lane < 4; lane++) {
      if ((bits & (1 << lane)) == 0) continue;
      store<u32>(next, 0x03020100 + lane * 0x04040404);
      next += 4;
    }
  }
}

writeFront();

/** Stores the lanes whose bits are set, one behind the other. Sixteen bytes are written. */
@inline
function storeLanes(next: usize, x: v128, bits: i32): void {
  v128.store(next, i8x16.swizzle(x, v128.load(FRONT + (<usize>bits << 4))));
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

/** Lists the entries of a stretch that have a magnitude above `passed`, and their sums of units; returns where the list ends. */
function listLarge(at: usize, stride: usize, count: i32, size: usize, passed: i32, table: usize): usize {
  const mask = i32x4.splat(MAGNITUDE);
  for (let k = 1; k < count; k++) {
    const data = at + <usize>k * stride;
    for (let offset: usize = 0; offset < size; offset += 16) {
      const before = v128.load((k == 1 ? at : LARGEST) + offset);
      const largest = i32x4.max_s(v128.and(before, mask), v128.and(v128.load(data + offset), mask));
      v128.store(LARGEST + offset, largest);
    }
  }
  const sizes = count == 1 ? at : LARGEST;
  const bars = i32x4.splat(passed);
  const four = i32x4.splat(16);
  let offsets = i32x4(0, 4, 8, 12);
  let next = LIST;
  for (let offset: usize = 0; offset < size; offset += 16) {
    const bits = i32x4.bitmask(i32x4.gt_s(v128.and(v128.load(sizes + offset), mask), bars));
    storeLanes(next, offsets, bits);
    next += <usize>popcnt(bits) << 2;
    offsets = i32x4.add(offsets, four);
  }
  const last = fillFour(next);
  for (let list = LIST; list < last; list += 16) v128.store(list + (SUMS - LIST), f32x4.splat(0));
  for (let k = 0; k < count; k++) {
    const data = at + <usize>k * stride;
    const low = boundOf(table, k, 0);
    const high = boundOf(table, k, 1);
    for (let list = LIST; list < last; list += 16) {
      const x = gather(data, list);
      const unit = scaled(clip(x, low, high), low, high);
      v128.store(list + (SUMS - LIST), f32x4.add(v128.load(list + (SUMS - LIST)), signed(unit, x)));
    }
  }
  return count == 1 ? next : listNear(next, count, table);
}

/** Leaves in the list, which ends at `listed`, what is not below by the largest magnitude and the sum; returns where it ends then. */
function listNear(listed: usize, count: i32, table: usize): usize {
  let low: f32 = Infinity;
  let inverse: f32 = 0;
  let least: f32 = Infinity;
  for (let k = 0; k < count; k++) {
    const row = table + <usize>k * ROW;
    low = min(low, load<f32>(row));
    inverse = max(inverse, load<f32>(row, INVERSE << 2));
    least = min(least, load<f32>(row, 12));
  }
  const lows = f32x4.splat(low);
  const inverses = f32x4.splat(inverse);
  const leasts = f32x4.splat(least);
  const one = f32x4.splat(1);
  let next = LIST;
  for (let list = LIST; list < listed; list += 16) {
    const size = gather(LARGEST, list);
    const sum = v128.load(list + (SUMS - LIST));
    const unit = f32x4.pmin(f32x4.mul(f32x4.sub(size, lows), inverses), one);
    const most = f32x4.mul(growthOf(unit, count), f32x4.pmin(f32x4.mul(size, f32x4.abs(sum)), one));
    const bits = bitsOf(v128.not(f32x4.lt(most, leasts)), list, listed);
    storeLanes(next, v128.load(list), bits);
    storeLanes(next + (SUMS - LIST), sum, bits);
    next += <usize>popcnt(bits) << 2;
  }
  fillFour(next);
  return next;
}

/** Which of the four entries at `list` are true and listed, before `listed`. */
@inline
function bitsOf(x: v128, list: usize, listed: usize): i32 {
  const bits = i32x4.bitmask(x);
  return list + 16 > listed ? bits & ((1 << (<i32>(listed - list) >> 2)) - 1) : bits;
}

/** Of the listed entries, which end at `listed`, lists those that a model may keep; returns where that list ends. */
function listOwn(at: usize, listed: usize, table: usize, model: i32, count: i32): usize {
  const low = boundOf(table, model, 0);
  const high = boundOf(table, model, 1);
  const inverse = boundOf(table, model, INVERSE);
  const least = boundOf(table, model, 3);
  // A bound is no bound below 0.
  const all = v128.not(f32x4.gt(least, f32x4.splat(0)));
  const one = f32x4.splat(1);
  let next = OWN;
  for (let list = LIST; list < listed; list += 16) {
    const x = gather(at, list);
    const sum = v128.load(list + (SUMS - LIST));
    const unit = f32x4.mul(f32x4.sub(clip(x, low, high), low), inverse);
    const most = f32x4.mul(growthOf(unit, count), f32x4.pmin(f32x4.mul(x, sum), one));
    const bits = bitsOf(v128.or(v128.not(f32x4.lt(most, least)), all), list, listed);
    storeLanes(next, v128.load(list), bits);
    storeLanes(next + (OWN_SUMS - OWN), sum, bits);
    storeLanes(next + (OWN_VALUES - OWN), x, bits);
    next += <usize>popcnt(bits) << 2;
  }
  fillFour(next + (OWN_SUMS - OWN));
  fillFour(next + (OWN_VALUES - OWN));
  return fillFour(next);
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
  const passed = passedOver(table, count);
  const counts = f32x4.splat(<f32>count);
  const zero = f32x4.splat(0);
  const end = deltas + (<usize>n << 2);
  for (let first = deltas; first < end; first += STRETCH << 2) {
    const size = min(end - first, STRETCH << 2);
    const listed = listLarge(first, stride, count, size, passed, table);
    for (let k = 0; k < count; k++) {
      const at = first + <usize>k * stride;
      const last = listOwn(at, listed, table, k, count);
      for (let offset: usize = 0; offset < size; offset += 16) v128.store(at + offset, zero);
      const low = boundOf(table, k, 0);
      const high = boundOf(table, k, 1);
      const least = boundOf(table, k, 3);
      const isBar = f32x4.gt(least, zero);
      for (let own = OWN; own < last; own += 16) {
        const x = v128.load(own + (OWN_VALUES - OWN));
        const unit = scaled(clip(x, low, high), low, high);
        const b = balanceOf(x, v128.load(own + (OWN_SUMS - OWN)), unit, counts);
        scatter(at, own, v128.andnot(b, v128.and(f32x4.lt(b, least), isBar)));
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
  const passed = passedOver(table, count);
  const counts = f32x4.splat(<f32>count);
  const zero = f32x4.splat(0);
  const end = <usize>n << 2;
  for (let start: usize = 0; start < end; start += STRETCH << 2) {
    const first = deltas + start;
    const merged = dst + start;
    const size = min(end - start, STRETCH << 2);
    const listed = listLarge(first, stride, count, size, passed, table);
    // What is not listed has shares of 0 only.
    for (let offset: usize = 0; offset < size; offset += 16) {
      v128.store(merged + offset, zero);
      v128.store(TOTALS + offset, zero);
    }
    for (let k = 0; k < count; k++) {
      const last = listOwn(first + <usize>k * stride, listed, table, k, count);
      const low = boundOf(table, k, 0);
      const high = boundOf(table, k, 1);
      const weight = boundOf(table, k, 2);
      const least = boundOf(table, k, 3);
      const largest = boundOf(table, k, 4);
      for (let own = OWN; own < last; own += 16) {
        const x = v128.load(own + (OWN_VALUES - OWN));
        const c = clip(x, low, high);
        const weighted = f32x4.mul(weight, signed(c, x));
        const b = balanceOf(x, v128.load(own + (OWN_SUMS - OWN)), scaled(c, low, high), counts);
        // The upper bound is the largest balance, so only the lower one clips; NaN passes.
        const share = v128.andnot(scaled(b, least, largest), f32x4.lt(b, least));
        scatter(merged, own, f32x4.add(gather(merged, own), f32x4.mul(weighted, share)));
        scatter(TOTALS, own, f32x4.add(gather(TOTALS, own), share));
      }
    }
    for (let list = LIST; list < listed; list += 16) {
      const total = f32x4.max(gather(TOTALS, list), f32x4.splat(1e-12));
      scatter(merged, list, f32x4.div(gather(merged, list), total));
    }
  }
}
