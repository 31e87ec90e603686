/** Plain TypeScript twin of assembly/importance.ts, straight from the formula. */

/** In place over `delta`. Sums are in another order than the kernel's, and exp and ln may differ in the last bit. */
export function rowImportance(base: Float32Array, delta: Float32Array, c: number): void {
  for (let start = 0; start < delta.length; start += c) {
    const from = Array.from(base.subarray(start, start + c));
    const to = from.map((x, i) => x + delta[start + i]!);
    const [q, p] = [softmax(from), softmax(to)];
    const divergence = p.reduce((sum, x, i) => sum + x * Math.log(x / q[i]!), 0);
    for (let i = start; i < start + c; i++) delta[i] = Math.abs(delta[i]!) * (divergence < 0 ? 0 : divergence);
  }
}

function softmax(values: number[]): number[] {
  const most = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const raised = values.map((x) => Math.exp(x - most));
  const total = raised.reduce((sum, x) => sum + x, 0);
  return raised.map((x) => x / total + 1e-8);
}
