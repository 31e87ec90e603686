// What an entry gets from its row, the entries of a tensor that differ in the last index only.

/** Below this, task vectors' series are short: those of fine-tunes are. */
const NEAR: f64 = 0.1;

/** exp(x) for |x| < NEAR, by its series; what is left out is below 3e-16 of it. */
@inline
function expNear(x: f64): f64 {
  let sum: f64 = 1 + x * (1.0 / 9);
  sum = 1 + x * sum * (1.0 / 8);
  sum = 1 + x * sum * (1.0 / 7);
  sum = 1 + x * sum * (1.0 / 6);
  sum = 1 + x * sum * (1.0 / 5);
  sum = 1 + x * sum * (1.0 / 4);
  sum = 1 + x * sum * (1.0 / 3);
  sum = 1 + x * sum * (1.0 / 2);
  return 1 + x * sum;
}

/** ln(p / q) for positive p and q; by the series of the inverse hyperbolic tangent where they are near each other. */
@inline
function logRatio(p: f64, q: f64): f64 {
  const u = (p - q) / (p + q);
  const s = u * u;
  if (s > NEAR * NEAR) return Math.log(p / q);
  // The next term is below 2e-16 of the first.
  let sum: f64 = 1.0 / 13;
  sum = sum * s + 1.0 / 11;
  sum = sum * s + 1.0 / 9;
  sum = sum * s + 1.0 / 7;
  sum = sum * s + 1.0 / 5;
  sum = sum * s + 1.0 / 3;
  return 2 * u * (1 + s * sum);
}

/**
 * For a base b and a task vector d of `rows` rows of c float32 (arcee_fusion): replaces each entry of d by
 *   |d| * KL,  KL = max(0, sum over the row of p ln(p / q)),  p = softmax(b + d) + 1e-8,  q = softmax(b) + 1e-8
 * in float64, rounded once to float32. Sums are in the order of the row. NaN and infinities make a row NaN.
 * `scratch`: 16 c bytes.
 */
export function rowImportance(base: usize, delta: usize, rows: i32, c: i32, scratch: usize): void {
  const second = scratch + (<usize>c << 3);
  for (let r = 0; r < rows; r++) {
    const row = (<usize>r * <usize>c) << 2;
    const b = base + row;
    const d = delta + row;
    let bMost = -Infinity;
    let tMost = -Infinity;
    let dMost: f64 = 0;
    for (let i: usize = 0; i < <usize>c << 2; i += 4) {
      const x = <f64>load<f32>(b + i);
      const t = x + <f64>load<f32>(d + i);
      bMost = max(bMost, x);
      tMost = max(tMost, t);
      dMost = max(dMost, Math.abs(t - x));
    }
    let bSum: f64 = 0;
    let tSum: f64 = 0;
    const isNear = dMost < NEAR;
    for (let i: usize = 0; i < <usize>c << 2; i += 4) {
      const x = <f64>load<f32>(b + i);
      const change = <f64>load<f32>(d + i);
      const q = Math.exp(x - bMost);
      const p = isNear ? q * expNear(change) : Math.exp(x + change - tMost);
      store<f64>(scratch + (i << 1), q);
      store<f64>(second + (i << 1), p);
      bSum += q;
      tSum += p;
    }
    const bShare = 1 / bSum;
    const tShare = 1 / tSum;
    let divergence: f64 = 0;
    for (let i: usize = 0; i < <usize>c << 3; i += 8) {
      const p = load<f64>(second + i) * tShare + 1e-8;
      const q = load<f64>(scratch + i) * bShare + 1e-8;
      divergence += p * logRatio(p, q);
    }
    // Rounding may bring a divergence of nothing below 0.
    if (divergence < 0) divergence = 0;
    for (let i: usize = 0; i < <usize>c << 2; i += 4) {
      store<f32>(d + i, <f32>(Math.abs(<f64>load<f32>(d + i)) * divergence));
    }
  }
}

/** dst = sum over k of x_k * f_k, entry by entry: `count` inputs at `src` and as many factors, `stride` and `factorStride` bytes apart. */
export function blendEach(
  src: usize,
  stride: usize,
  factors: usize,
  factorStride: usize,
  count: i32,
  dst: usize,
  n: i32,
): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const at = <usize>i << 2;
    let sum = f32x4.mul(v128.load(src + at), v128.load(factors + at));
    for (let k = 1; k < count; k++) {
      const x = v128.load(src + <usize>k * stride + at);
      sum = f32x4.add(sum, f32x4.mul(x, v128.load(factors + <usize>k * factorStride + at)));
    }
    v128.store(dst + at, sum);
  }
  for (; i < n; i++) {
    const at = <usize>i << 2;
    let sum = load<f32>(src + at) * load<f32>(factors + at);
    for (let k = 1; k < count; k++) {
      sum += load<f32>(src + <usize>k * stride + at) * load<f32>(factors + <usize>k * factorStride + at);
    }
    store<f32>(dst + at, sum);
  }
}
