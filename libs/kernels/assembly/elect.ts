// TIES: sign election and disjoint merge (Yadav et al., 2023, section 3) over task vectors that are trimmed already.

@inline
function lanes(x: v128): i32 {
  return i32x4.extract_lane(x, 0) + i32x4.extract_lane(x, 1) + i32x4.extract_lane(x, 2) + i32x4.extract_lane(x, 3);
}

/** Ballots of x: 1 where positive, −1 where negative, 0 where zero or NaN. */
@inline
function ballot(x: v128): v128 {
  const zero = f32x4.splat(0);
  return i32x4.sub(f32x4.lt(x, zero), f32x4.gt(x, zero));
}

/** Sign bit set where the elected sign is −. */
@inline
function flipOf(sum: v128): v128 {
  return v128.andnot(i32x4.splat(0x80000000), f32x4.ge(sum, f32x4.splat(0)));
}

/** merged / mass where anything agrees (mean), and the sum's NaN where a task vector has one. */
@inline
function finish(merged: v128, mass: v128, sum: v128, mean: bool): v128 {
  let result = merged;
  if (mean) {
    const none = f32x4.eq(mass, f32x4.splat(0));
    result = f32x4.div(merged, v128.bitselect(f32x4.splat(1), mass, none));
  }
  return v128.bitselect(result, sum, f32x4.eq(sum, sum));
}

/** The general form: any number of models, four elements. Returns the lanes where survivors disagree in sign. */
@inline
function electLanes(at: usize, stride: usize, count: i32, weights: usize, dst: usize, mean: bool, byCount: bool): v128 {
  const zero = f32x4.splat(0);
  let sum = zero;
  let votes = zero;
  for (let k = 0; k < count; k++) {
    const w = v128.load32_splat(weights + (<usize>k << 2));
    const x = f32x4.mul(v128.load(at + <usize>k * stride), w);
    sum = f32x4.add(sum, x);
    if (byCount) votes = i32x4.add(votes, ballot(x));
  }
  const flip = byCount ? flipOf(f32x4.convert_i32x4_s(votes)) : flipOf(sum);
  let merged = zero;
  let mass = zero;
  let agreeing = zero;
  let opposed = zero;
  for (let k = 0; k < count; k++) {
    const w = v128.load32_splat(weights + (<usize>k << 2));
    const x = f32x4.mul(v128.load(at + <usize>k * stride), w);
    const towards = v128.xor(x, flip);
    const agrees = f32x4.gt(towards, zero);
    agreeing = v128.or(agreeing, agrees);
    opposed = v128.or(opposed, f32x4.lt(towards, zero));
    merged = f32x4.add(merged, v128.and(x, agrees));
    mass = f32x4.add(mass, v128.and(f32x4.abs(w), agrees));
  }
  v128.store(dst, finish(merged, mass, sum, mean));
  return v128.and(agreeing, opposed);
}

/**
 * Two models, the commonest case, without inner loops. With `halves` both weights are the same, up to their sign, of which `one` is the
 * inverse and `both` that of twice as much, both exact: a product is then what the division gives, and is faster.
 */
@inline
function electPair(
  at: usize,
  stride: usize,
  w0: v128,
  w1: v128,
  dst: usize,
  mean: bool,
  byCount: bool,
  halves: bool,
  one: v128,
  both: v128,
): v128 {
  const zero = f32x4.splat(0);
  const x0 = f32x4.mul(v128.load(at), w0);
  const x1 = f32x4.mul(v128.load(at + stride), w1);
  const sum = f32x4.add(f32x4.add(zero, x0), x1);
  const flip = byCount ? flipOf(f32x4.convert_i32x4_s(i32x4.add(ballot(x0), ballot(x1)))) : flipOf(sum);
  const t0 = v128.xor(x0, flip);
  const t1 = v128.xor(x1, flip);
  const a0 = f32x4.gt(t0, zero);
  const a1 = f32x4.gt(t1, zero);
  const merged = f32x4.add(f32x4.add(zero, v128.and(x0, a0)), v128.and(x1, a1));
  if (halves) {
    const result = f32x4.mul(merged, v128.bitselect(both, one, v128.and(a0, a1)));
    v128.store(dst, v128.bitselect(result, sum, f32x4.eq(sum, sum)));
  } else {
    const mass = f32x4.add(f32x4.add(zero, v128.and(f32x4.abs(w0), a0)), v128.and(f32x4.abs(w1), a1));
    v128.store(dst, finish(merged, mass, sum, mean));
  }
  const opposed = v128.or(f32x4.lt(t0, zero), f32x4.lt(t1, zero));
  return v128.and(v128.or(a0, a1), opposed);
}

/** Is it a power of two whose inverse, and that of twice as much, are normal numbers? */
@inline
function isHalvable(weight: f32): bool {
  const bits = reinterpret<u32>(weight);
  return (bits & 0x7fffff) == 0 && bits >= 0x00800000 && bits < 0x7e000000;
}

@inline
function electPairs(
  deltas: usize,
  stride: usize,
  weights: usize,
  dst: usize,
  end: usize,
  mean: bool,
  byCount: bool,
  halves: bool,
): v128 {
  const w0 = v128.load32_splat(weights);
  const w1 = v128.load32_splat(weights, 4);
  const one = f32x4.div(f32x4.splat(1), f32x4.abs(w0));
  const both = f32x4.mul(one, f32x4.splat(0.5));
  let conflicts = i32x4.splat(0);
  for (let at: usize = 0; at < end; at += 16) {
    const own = electPair(deltas + at, stride, w0, w1, dst + at, mean, byCount, halves, one, both);
    conflicts = i32x4.sub(conflicts, own);
  }
  return conflicts;
}

@inline
function electAll(
  deltas: usize,
  stride: usize,
  count: i32,
  weights: usize,
  dst: usize,
  n: i32,
  mean: bool,
  byCount: bool,
): i32 {
  let conflicts = i32x4.splat(0);
  const end = <usize>n << 2;
  if (count == 2) {
    const w0 = abs(load<f32>(weights));
    if (mean && w0 == abs(load<f32>(weights, 4)) && isHalvable(w0)) {
      conflicts = electPairs(deltas, stride, weights, dst, end, mean, byCount, true);
    } else {
      conflicts = electPairs(deltas, stride, weights, dst, end, mean, byCount, false);
    }
  } else {
    for (let at: usize = 0; at < end; at += 16) {
      conflicts = i32x4.sub(conflicts, electLanes(deltas + at, stride, count, weights, dst + at, mean, byCount));
    }
  }
  return lanes(conflicts);
}

/**
 * dst = disjoint merge of `count` weighted task vectors (float32, `stride` bytes apart), weights float32 at `weights`:
 *   x_k = w_k d_k;  s = sum_k x_k in order, or with byCount the number of x_k > 0 less that of x_k < 0;
 *   sign = s >= 0 ? + : -;  A = { k : x_k has that sign, not zero }
 *   sum: sum_A x_k;  mean: that divided by sum_A |w_k| (by 1 where A is empty).
 * Where the sum of all x_k is NaN, dst is NaN. n must be a multiple of 4 (pad with zeros). Returns the number of elements with
 * survivors of both signs.
 */
export function electMerge(
  deltas: usize,
  stride: usize,
  count: i32,
  weights: usize,
  dst: usize,
  n: i32,
  mean: bool,
  byCount: bool,
): i32 {
  if (byCount) {
    return mean
      ? electAll(deltas, stride, count, weights, dst, n, true, true)
      : electAll(deltas, stride, count, weights, dst, n, false, true);
  }
  return mean
    ? electAll(deltas, stride, count, weights, dst, n, true, false)
    : electAll(deltas, stride, count, weights, dst, n, false, false);
}

@inline
function electWeightedLanes(at: usize, stride: usize, count: i32, weights: usize, dst: usize): v128 {
  const zero = f32x4.splat(0);
  let sum = zero;
  for (let k = 0; k < count; k++) sum = f32x4.add(sum, v128.load(at + <usize>k * stride));
  const flip = flipOf(sum);
  const known = f32x4.eq(sum, sum);
  let total = zero;
  let merged = zero;
  let mass = zero;
  let agreeing = zero;
  let opposed = zero;
  for (let k = 0; k < count; k++) {
    const w = v128.load32_splat(weights + (<usize>k << 2));
    const own = v128.load(at + <usize>k * stride);
    const towards = v128.xor(own, flip);
    const against = f32x4.lt(towards, zero);
    agreeing = v128.or(agreeing, f32x4.gt(towards, zero));
    opposed = v128.or(opposed, against);
    const x = f32x4.mul(v128.andnot(own, v128.and(against, known)), w);
    const agrees = f32x4.gt(v128.xor(x, flip), zero);
    total = f32x4.add(total, x);
    merged = f32x4.add(merged, v128.and(x, agrees));
    mass = f32x4.add(mass, v128.and(w, agrees));
  }
  v128.store(dst, v128.bitselect(finish(merged, mass, total, true), v128.bitselect(sum, total, f32x4.eq(total, total)), known));
  return v128.and(agreeing, opposed);
}

/**
 * As electMerge's mean, with weights that are not negative, but the sign is that of the sum of the d_k themselves: s = sum_k d_k in order;
 * sign = s >= 0 ? + : -;  d_k of the other sign become 0;  dst = sum_A w_k d_k / sum_A w_k (by 1 where A is empty), A = { k : w_k d_k is
 * not 0 }. Where s or a product is NaN, dst is. Returns the number of elements with survivors of both signs.
 */
export function electWeighted(deltas: usize, stride: usize, count: i32, weights: usize, dst: usize, n: i32): i32 {
  let conflicts = i32x4.splat(0);
  const end = <usize>n << 2;
  if (count == 2) {
    for (let at: usize = 0; at < end; at += 16) {
      conflicts = i32x4.sub(conflicts, electWeightedLanes(deltas + at, stride, 2, weights, dst + at));
    }
  } else {
    for (let at: usize = 0; at < end; at += 16) {
      conflicts = i32x4.sub(conflicts, electWeightedLanes(deltas + at, stride, count, weights, dst + at));
    }
  }
  return lanes(conflicts);
}

@inline
function keepElected(at: usize, stride: usize, count: i32): v128 {
  const zero = f32x4.splat(0);
  let sum = zero;
  for (let k = 0; k < count; k++) sum = f32x4.add(sum, v128.load(at + <usize>k * stride));
  const flip = flipOf(sum);
  const known = f32x4.eq(sum, sum);
  let agreeing = zero;
  let opposed = zero;
  for (let k = 0; k < count; k++) {
    const place = at + <usize>k * stride;
    const x = v128.load(place);
    const towards = v128.xor(x, flip);
    const against = f32x4.lt(towards, zero);
    agreeing = v128.or(agreeing, f32x4.gt(towards, zero));
    opposed = v128.or(opposed, against);
    v128.store(place, v128.andnot(x, v128.and(against, known)));
  }
  return v128.and(agreeing, opposed);
}

/**
 * Sign election in place over `count` task vectors d_k (float32, `stride` bytes apart), all of one weight:
 *   s = sum_k d_k in order;  sign = s >= 0 ? + : -;  entries of the other sign become 0.
 * What electMerge's sum would add up is left. Where s is NaN everything stays, so that NaN and infinities show.
 * n must be a multiple of 4 (pad with zeros). Returns the number of elements with survivors of both signs.
 */
export function elect(deltas: usize, stride: usize, count: i32, n: i32): i32 {
  let conflicts = i32x4.splat(0);
  const end = <usize>n << 2;
  for (let at: usize = 0; at < end; at += 16) {
    conflicts = i32x4.sub(conflicts, keepElected(deltas + at, stride, count));
  }
  return lanes(conflicts);
}
