// TIES: sign election and disjoint merge (Yadav et al., 2023, section 3) over task vectors that are trimmed already.

@inline
function lanes(x: v128): i32 {
  return i32x4.extract_lane(x, 0) + i32x4.extract_lane(x, 1) + i32x4.extract_lane(x, 2) + i32x4.extract_lane(x, 3);
}

/** One vector of four elements; returns the lanes (all ones) where surviving entries disagree in sign. */
@inline
function electLanes(deltas: usize, stride: usize, count: i32, weights: usize, dst: usize, mean: bool): v128 {
  const zero = f32x4.splat(0);
  let sum = zero;
  let positive = i32x4.splat(0);
  let negative = i32x4.splat(0);
  for (let k = 0; k < count; k++) {
    const x = f32x4.mul(v128.load(deltas + <usize>k * stride), v128.load32_splat(weights + (<usize>k << 2)));
    sum = f32x4.add(sum, x);
    positive = v128.or(positive, f32x4.gt(x, zero));
    negative = v128.or(negative, f32x4.lt(x, zero));
  }
  const up = f32x4.ge(sum, zero);
  let merged = zero;
  let mass = zero;
  for (let k = 0; k < count; k++) {
    const w = v128.load32_splat(weights + (<usize>k << 2));
    const x = f32x4.mul(v128.load(deltas + <usize>k * stride), w);
    const agrees = v128.bitselect(f32x4.gt(x, zero), f32x4.lt(x, zero), up);
    merged = f32x4.add(merged, v128.and(x, agrees));
    if (mean) mass = f32x4.add(mass, v128.and(f32x4.abs(w), agrees));
  }
  if (mean) {
    const some = f32x4.gt(mass, zero);
    merged = f32x4.div(merged, v128.bitselect(mass, f32x4.splat(1), some));
  }
  // A NaN in a task vector shows in the sum and must show in the result.
  merged = v128.bitselect(merged, sum, f32x4.eq(sum, sum));
  v128.store(dst, merged);
  return v128.and(positive, negative);
}

/**
 * dst = disjoint merge of `count` weighted task vectors (float32, `stride` bytes apart), weights float32 at `weights`:
 *   x_k = w_k d_k;  s = sum_k x_k in order;  sign = s >= 0 ? + : -;  A = { k : x_k has that sign, not zero }
 *   sum: sum_A x_k;  mean: that divided by sum_A |w_k| (by 1 where A is empty).
 * n must be a multiple of 4 (pad with zeros). Returns the number of elements with survivors of both signs.
 */
export function electMerge(deltas: usize, stride: usize, count: i32, weights: usize, dst: usize, n: i32, mean: bool): i32 {
  let conflicts = i32x4.splat(0);
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    conflicts = i32x4.sub(conflicts, electLanes(deltas + at, stride, count, weights, dst + at, mean));
  }
  return lanes(conflicts);
}
