// Combinations of task vectors that choose entry by entry. float32 areas, padded to multiples of four.

/**
 * Replaces each entry of `best` by that of `candidate` when its magnitude is not smaller; in place. Magnitudes are compared by their
 * bits, so NaN is the largest.
 */
export function keepLarger(best: usize, candidate: usize, n: i32): void {
  const mask = i32x4.splat(0x7fffffff);
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const a = v128.load(best + at);
    const b = v128.load(candidate + at);
    v128.store(best + at, v128.bitselect(b, a, i32x4.ge_s(v128.and(b, mask), v128.and(a, mask))));
  }
}

/**
 * s = sum of `count` task vectors, `stride` bytes apart, in their order; entry by entry dst = s where |t| > l |s - t| holds for at least
 * `least` of them, else 0. `lambdas`: a float32 l for each.
 */
export function sumAgreed(
  deltas: usize,
  stride: usize,
  count: i32,
  lambdas: usize,
  least: i32,
  dst: usize,
  n: i32,
): void {
  const enough = i32x4.splat(least - 1);
  for (let i = 0; i < n; i += 4) {
    const first = deltas + (<usize>i << 2);
    let sum = v128.load(first);
    for (let k = 1; k < count; k++) sum = f32x4.add(sum, v128.load(first + <usize>k * stride));
    let agreed = i32x4.splat(0);
    for (let k = 0; k < count; k++) {
      const own = v128.load(first + <usize>k * stride);
      const lambda = v128.load32_splat(lambdas + (<usize>k << 2));
      const rest = f32x4.mul(lambda, f32x4.abs(f32x4.sub(sum, own)));
      agreed = i32x4.sub(agreed, f32x4.gt(f32x4.abs(own), rest));
    }
    v128.store(dst + (<usize>i << 2), v128.and(sum, i32x4.gt_s(agreed, enough)));
  }
}
