/** Plain TypeScript twins of assembly/product.ts. */
const f = Math.fround;

export function addProduct(a: Float32Array, b: Float32Array, c: Float32Array, m: number, k: number, n: number): void {
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = c[i * n + j]!;
      for (let l = 0; l < k; l++) sum = f(sum + f(a[i * k + l]! * b[l * n + j]!));
      c[i * n + j] = sum;
    }
  }
}

export function addProductTransposed(
  a: Float32Array,
  b: Float32Array,
  c: Float32Array,
  m: number,
  k: number,
  n: number,
): void {
  for (let i = 0; i < m; i++) {
    for (let l = 0; l < k; l++) {
      for (let j = 0; j < n; j++) c[l * n + j] = c[l * n + j]! + f(a[i * k + l]! * b[i * n + j]!);
    }
  }
}
