// What an entry gets from its row, the entries of a tensor that differ in the last index only.

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
