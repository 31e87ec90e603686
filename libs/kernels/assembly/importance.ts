// arcee_fusion: how much an entry of a task vector matters, by how far its row's softmax has moved.

import { expSmall, expOf } from './exponential';

/** Where all of a row's task vector is smaller its series are short: those of fine-tunes mostly are. */
const NEAR: f32 = 0.015625;
/** Where a row's base is no further below its largest entry its exp needs no power of two; a little less than ln 2 / 2. */
const FLAT: f32 = 0.34375;
/** Up to this squared (p - q) / (p + q) the longer series of the logarithm does. */
const SERIES: f64 = 0.01;
/** What keeps probabilities from 0. */
const LEAST: f64 = 1e-8;

@inline
function backHalf(x: v128): v128 {
  return i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
}

/** a + x b */
@inline
function step(a: f64, x: v128, b: v128): v128 {
  return f64x2.add(f64x2.splat(a), f64x2.mul(x, b));
}

/** exp(x) for |x| < NEAR by its series; what is left out is below 5e-17 of it. */
@inline
function expNear(x: v128): v128 {
  let sum = step(1.0 / 120, x, f64x2.splat(1.0 / 720));
  sum = step(1.0 / 24, x, sum);
  sum = step(1.0 / 6, x, sum);
  sum = step(0.5, x, sum);
  sum = step(1, x, sum);
  return step(1, x, sum);
}

/** ln(p / q) for positive p and q by the series of the inverse hyperbolic tangent; `near`: |ln(p / q)| < 2 NEAR. */
@inline
function logRatio(p: v128, q: v128, near: bool): v128 {
  const u = f64x2.div(f64x2.sub(p, q), f64x2.add(p, q));
  const s = f64x2.mul(u, u);
  // What is left out is below 2e-16 of the first term, and where all is near below 1e-19.
  let sum: v128;
  if (near) {
    sum = f64x2.splat(1.0 / 9);
  } else {
    if (v128.any_true(f64x2.gt(s, f64x2.splat(SERIES)))) {
      const ratio = f64x2.div(p, q);
      return f64x2(Math.log(f64x2.extract_lane(ratio, 0)), Math.log(f64x2.extract_lane(ratio, 1)));
    }
    sum = step(1.0 / 11, s, f64x2.splat(1.0 / 13));
    sum = step(1.0 / 9, s, sum);
  }
  sum = step(1.0 / 7, s, sum);
  sum = step(1.0 / 5, s, sum);
  sum = step(1.0 / 3, s, sum);
  sum = step(1, s, sum);
  return f64x2.mul(f64x2.add(u, u), sum);
}

@inline
function largest(x: v128): f32 {
  return max(
    max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)),
    max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)),
  );
}

@inline
function laneSum(a: v128, b: v128): f64 {
  return (
    f64x2.extract_lane(a, 0) + f64x2.extract_lane(a, 1) + (f64x2.extract_lane(b, 0) + f64x2.extract_lane(b, 1))
  );
}

/** exp(x - most); `flat`: no x is further than FLAT below. */
@inline
function weightOf(x: v128, most: f32, flat: bool): v128 {
  const below = f64x2.sub(x, f64x2.splat(<f64>most));
  return flat ? expSmall(below) : expOf(below);
}

/** exp(x + change - most), which is `weight` exp(change) where `near`. */
@inline
function changedWeightOf(x: v128, change: v128, weight: v128, most: f32, near: bool): v128 {
  return near ? f64x2.mul(weight, expNear(change)) : weightOf(f64x2.add(x, change), most, false);
}

@inline
function term(q: v128, p: v128, qShare: v128, pShare: v128, near: bool): v128 {
  const least = f64x2.splat(LEAST);
  const after = f64x2.add(f64x2.mul(p, pShare), least);
  return f64x2.mul(after, logRatio(after, f64x2.add(f64x2.mul(q, qShare), least), near));
}

/**
 * Sum over a row of p ln(p / q):  p = softmax(b + d) + 1e-8,  q = softmax(b) + 1e-8. Term i goes to partial sum i mod 4. bMost, tMost: the
 * largest of b and of b + d, or near it. `near`: all of d is; `flat`: all of b is. `scratch`: 16 (c + 3) bytes.
 */
@inline
function divergenceOf(
  b: usize,
  d: usize,
  c: i32,
  scratch: usize,
  bMost: f32,
  tMost: f32,
  near: bool,
  flat: bool,
): f64 {
  const padded = (c + 3) & ~3;
  const second = <usize>padded << 3;
  let qFront = f64x2.splat(0);
  let qBack = qFront;
  let pFront = qFront;
  let pBack = qFront;
  for (let i = 0; i < c; i += 4) {
    const x = v128.load(b + (<usize>i << 2));
    const change = v128.load(d + (<usize>i << 2));
    const front = f64x2.promote_low_f32x4(x);
    const back = f64x2.promote_low_f32x4(backHalf(x));
    let q0 = weightOf(front, bMost, flat);
    let q1 = weightOf(back, bMost, flat);
    let p0 = changedWeightOf(front, f64x2.promote_low_f32x4(change), q0, tMost, near);
    let p1 = changedWeightOf(back, f64x2.promote_low_f32x4(backHalf(change)), q1, tMost, near);
    if (i + 4 > c) {
      // What follows the row weighs nothing, and its terms are 0.
      const front = i64x2.lt_s(i64x2(0, 1), i64x2.splat(c - i));
      const back = i64x2.lt_s(i64x2(2, 3), i64x2.splat(c - i));
      q0 = v128.and(q0, front);
      p0 = v128.and(p0, front);
      q1 = v128.and(q1, back);
      p1 = v128.and(p1, back);
    }
    const at = scratch + (<usize>i << 3);
    v128.store(at, q0);
    v128.store(at, q1, 16);
    v128.store(at + second, p0);
    v128.store(at + second, p1, 16);
    qFront = f64x2.add(qFront, q0);
    qBack = f64x2.add(qBack, q1);
    pFront = f64x2.add(pFront, p0);
    pBack = f64x2.add(pBack, p1);
  }
  const qShare = f64x2.splat(1 / laneSum(qFront, qBack));
  const pShare = f64x2.splat(1 / laneSum(pFront, pBack));
  let sumFront = f64x2.splat(0);
  let sumBack = sumFront;
  for (let at = scratch; at < scratch + second; at += 32) {
    sumFront = f64x2.add(sumFront, term(v128.load(at), v128.load(at + second), qShare, pShare, near));
    sumBack = f64x2.add(sumBack, term(v128.load(at, 16), v128.load(at + second, 16), qShare, pShare, near));
  }
  return laneSum(sumFront, sumBack);
}

/** The divergence of a row, at least 0. */
function rowDivergence(b: usize, d: usize, c: i32, scratch: usize): f64 {
  let bMosts = f32x4.splat(-Infinity);
  let bLeasts = f32x4.splat(Infinity);
  let tMosts = bMosts;
  let dMosts = f32x4.splat(0);
  const size = <usize>c << 2;
  let i: usize = 0;
  for (; i + 16 <= size; i += 16) {
    const x = v128.load(b + i);
    const change = v128.load(d + i);
    bMosts = f32x4.pmax(bMosts, x);
    bLeasts = f32x4.pmin(bLeasts, x);
    tMosts = f32x4.pmax(tMosts, f32x4.add(x, change));
    dMosts = f32x4.pmax(dMosts, f32x4.abs(change));
  }
  for (; i < size; i += 4) {
    const x = v128.load32_splat(b + i);
    const change = v128.load32_splat(d + i);
    bMosts = f32x4.pmax(bMosts, x);
    bLeasts = f32x4.pmin(bLeasts, x);
    tMosts = f32x4.pmax(tMosts, f32x4.add(x, change));
    dMosts = f32x4.pmax(dMosts, f32x4.abs(change));
  }
  const bMost = largest(bMosts);
  const tMost = largest(tMosts);
  const isFlat = bMost - -largest(f32x4.neg(bLeasts)) <= FLAT;
  // Short series, and the same number added to all of a row changes no softmax.
  const isNear = largest(dMosts) < NEAR;
  const divergence = !isNear
    ? divergenceOf(b, d, c, scratch, bMost, tMost, false, false)
    : isFlat
      ? divergenceOf(b, d, c, scratch, bMost, tMost, true, true)
      : divergenceOf(b, d, c, scratch, bMost, tMost, true, false);
  // Rounding may bring a divergence of nothing below 0.
  return divergence < 0 ? 0 : divergence;
}

/**
 * For a base b and a task vector d of `rows` rows of c float32: replaces each entry of d by
 *   |d| * KL,  KL = max(0, sum over the row of p ln(p / q)),  p = softmax(b + d) + 1e-8,  q = softmax(b) + 1e-8
 * in float64, rounded once to float32. NaN and infinities make a row NaN. `scratch`: 16 (c + 3) bytes; twelve bytes behind the last row are
 * read. `known`: by row, as float64, KL if it is known already, else NaN, in whose place it is written; 0: nothing is known.
 */
export function rowImportance(base: usize, delta: usize, rows: i32, c: i32, scratch: usize, known: usize): void {
  const size = <usize>c << 2;
  for (let r = 0; r < rows; r++) {
    const b = base + <usize>r * size;
    const d = delta + <usize>r * size;
    const kept = known == 0 ? NaN : load<f64>(known + (<usize>r << 3));
    const factor = isNaN(kept) ? rowDivergence(b, d, c, scratch) : kept;
    if (known != 0) store<f64>(known + (<usize>r << 3), factor);
    const factors = f64x2.splat(factor);
    let i: usize = 0;
    for (; i + 16 <= size; i += 16) {
      const change = f32x4.abs(v128.load(d + i));
      const front = f32x4.demote_f64x2_zero(f64x2.mul(f64x2.promote_low_f32x4(change), factors));
      const back = f32x4.demote_f64x2_zero(f64x2.mul(f64x2.promote_low_f32x4(backHalf(change)), factors));
      v128.store(d + i, i8x16.shuffle(front, back, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
    }
    for (; i < size; i += 4) store<f32>(d + i, <f32>(Math.abs(<f64>load<f32>(d + i)) * factor));
  }
}
