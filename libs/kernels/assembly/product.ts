// Products of float32 matrices, row-major, with a narrow result: n is a multiple of 4.

/**
 * c[m, n] += a[m, k] b[k, n]. Terms are added to what c holds in the order of k, one rounding an operation, so the result does not
 * depend on how the rows of a are dealt out.
 */
export function addProduct(a: usize, b: usize, c: usize, m: i32, k: i32, n: i32): void {
  const wide = <usize>n << 2;
  const deep = <usize>k << 2;
  let i = 0;
  for (; i + 4 <= m; i += 4) {
    let j = 0;
    for (; j + 8 <= n; j += 8) tile4x8(a + <usize>i * deep, deep, b + (<usize>j << 2), c + <usize>i * wide + (<usize>j << 2), wide, k);
    for (; j < n; j += 4) {
      for (let r = 0; r < 4; r++) tile1x4(a + <usize>(i + r) * deep, b + (<usize>j << 2), c + <usize>(i + r) * wide + (<usize>j << 2), wide, k);
    }
  }
  for (; i < m; i++) {
    for (let j = 0; j < n; j += 4) tile1x4(a + <usize>i * deep, b + (<usize>j << 2), c + <usize>i * wide + (<usize>j << 2), wide, k);
  }
}

/** Four rows by eight columns: the sums stay in registers. */
@inline
function tile4x8(a: usize, deep: usize, b: usize, c: usize, wide: usize, k: i32): void {
  const c1 = c + wide;
  const c2 = c1 + wide;
  const c3 = c2 + wide;
  let s0 = v128.load(c);
  let s1 = v128.load(c, 16);
  let s2 = v128.load(c1);
  let s3 = v128.load(c1, 16);
  let s4 = v128.load(c2);
  let s5 = v128.load(c2, 16);
  let s6 = v128.load(c3);
  let s7 = v128.load(c3, 16);
  const deep2 = deep << 1;
  const deep3 = deep2 + deep;
  for (let l = 0; l < k; l++) {
    const x = v128.load(b);
    const y = v128.load(b, 16);
    const f0 = v128.load32_splat(a);
    s0 = f32x4.add(s0, f32x4.mul(f0, x));
    s1 = f32x4.add(s1, f32x4.mul(f0, y));
    const f1 = v128.load32_splat(a + deep);
    s2 = f32x4.add(s2, f32x4.mul(f1, x));
    s3 = f32x4.add(s3, f32x4.mul(f1, y));
    const f2 = v128.load32_splat(a + deep2);
    s4 = f32x4.add(s4, f32x4.mul(f2, x));
    s5 = f32x4.add(s5, f32x4.mul(f2, y));
    const f3 = v128.load32_splat(a + deep3);
    s6 = f32x4.add(s6, f32x4.mul(f3, x));
    s7 = f32x4.add(s7, f32x4.mul(f3, y));
    a += 4;
    b += wide;
  }
  v128.store(c, s0);
  v128.store(c, s1, 16);
  v128.store(c1, s2);
  v128.store(c1, s3, 16);
  v128.store(c2, s4);
  v128.store(c2, s5, 16);
  v128.store(c3, s6);
  v128.store(c3, s7, 16);
}

@inline
function tile1x4(a: usize, b: usize, c: usize, wide: usize, k: i32): void {
  let sum = v128.load(c);
  for (let l = 0; l < k; l++) {
    sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(a), v128.load(b)));
    a += 4;
    b += wide;
  }
  v128.store(c, sum);
}

/** c[k, n] += a[m, k]ᵀ b[m, n]. Terms are added in the order of m, so rows may come in any number of calls, in their order. */
export function addProductTransposed(a: usize, b: usize, c: usize, m: i32, k: i32, n: i32): void {
  const wide = <usize>n << 2;
  const deep = <usize>k << 2;
  let i = 0;
  for (; i + 4 <= m; i += 4) {
    const b0 = b + <usize>i * wide;
    const b1 = b0 + wide;
    const b2 = b1 + wide;
    const b3 = b2 + wide;
    let from = a + <usize>i * deep;
    let to = c;
    for (let l = 0; l < k; l++) {
      const f0 = v128.load32_splat(from);
      const f1 = v128.load32_splat(from + deep);
      const f2 = v128.load32_splat(from + (deep << 1));
      const f3 = v128.load32_splat(from + (deep << 1) + deep);
      for (let at: usize = 0; at < wide; at += 16) {
        let sum = v128.load(to + at);
        sum = f32x4.add(sum, f32x4.mul(f0, v128.load(b0 + at)));
        sum = f32x4.add(sum, f32x4.mul(f1, v128.load(b1 + at)));
        sum = f32x4.add(sum, f32x4.mul(f2, v128.load(b2 + at)));
        sum = f32x4.add(sum, f32x4.mul(f3, v128.load(b3 + at)));
        v128.store(to + at, sum);
      }
      from += 4;
      to += wide;
    }
  }
  for (; i < m; i++) {
    const row = b + <usize>i * wide;
    for (let l = 0; l < k; l++) {
      const f = v128.load32_splat(a + <usize>i * deep + (<usize>l << 2));
      const to = c + <usize>l * wide;
      for (let at: usize = 0; at < wide; at += 16) {
        v128.store(to + at, f32x4.add(v128.load(to + at), f32x4.mul(f, v128.load(row + at))));
      }
    }
  }
}
