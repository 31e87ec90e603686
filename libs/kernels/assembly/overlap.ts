// RAM: which entries one task vector alone has moved, and which several have. An entry is moved when its magnitude is above
// epsilon, or NaN.

@inline
function isMoved(x: v128, epsilons: v128): v128 {
  return v128.not(f32x4.le(f32x4.abs(x), epsilons));
}

/** How many of the `count` task vectors have moved each of four elements. */
@inline
function movers(at: usize, stride: usize, count: i32, epsilons: v128): v128 {
  let moved = i32x4.splat(0);
  for (let k = 0; k < count; k++) moved = i32x4.sub(moved, isMoved(v128.load(at + <usize>k * stride), epsilons));
  return moved;
}

/**
 * Of each of `count` task vectors (float32, `stride` bytes apart) adds to the uint32 at `counts` how many elements it has moved with
 * others, and to the next how many it alone has. epsilon >= 0; n must be a multiple of 4 (pad with zeros).
 */
export function countOverlaps(deltas: usize, stride: usize, count: i32, epsilon: f32, counts: usize, n: i32): void {
  const epsilons = f32x4.splat(epsilon);
  const one = i32x4.splat(1);
  const end = <usize>n << 2;
  for (let at: usize = 0; at < end; at += 16) {
    const shared = i32x4.gt_s(movers(deltas + at, stride, count, epsilons), one);
    for (let k = 0; k < count; k++) {
      const moved = isMoved(v128.load(deltas + at + <usize>k * stride), epsilons);
      const place = counts + (<usize>k << 3);
      store<u32>(place, load<u32>(place) + popcnt(i32x4.bitmask(v128.and(moved, shared))));
      store<u32>(place, load<u32>(place, 4) + popcnt(i32x4.bitmask(v128.andnot(moved, shared))), 4);
    }
  }
}

/**
 * dst = mean of the task vectors that have moved an element where several have; where one alone has, that times its factor (float32 at
 * `factors`); 0 where none has. Sums are in the order of the task vectors. Else as countOverlaps.
 */
export function mergeOverlaps(
  deltas: usize,
  stride: usize,
  count: i32,
  factors: usize,
  epsilon: f32,
  dst: usize,
  n: i32,
): void {
  const epsilons = f32x4.splat(epsilon);
  const one = i32x4.splat(1);
  const end = <usize>n << 2;
  for (let at: usize = 0; at < end; at += 16) {
    let sum = f32x4.splat(0);
    let factor = f32x4.splat(0);
    let moved = i32x4.splat(0);
    for (let k = 0; k < count; k++) {
      const x = v128.load(deltas + at + <usize>k * stride);
      const own = isMoved(x, epsilons);
      sum = f32x4.add(sum, v128.and(x, own));
      factor = v128.or(factor, v128.and(v128.load32_splat(factors + (<usize>k << 2)), own));
      moved = i32x4.sub(moved, own);
    }
    const divisors = f32x4.convert_i32x4_s(i32x4.max_s(moved, one));
    const alone = i32x4.eq(moved, one);
    v128.store(dst + at, v128.bitselect(f32x4.mul(sum, factor), f32x4.div(sum, divisors), alone));
  }
}
