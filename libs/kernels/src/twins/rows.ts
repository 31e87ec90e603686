/** Plain TypeScript twin of assembly/rows.ts. */
const f = Math.fround;

/** In place over `delta`. exp and log may differ from the kernel's in the last bit. */
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

export function blendEach(inputs: Float32Array[], factors: Float32Array[], dst: Float32Array): void {
  for (let i = 0; i < dst.length; i++) {
    dst[i] = inputs.reduce((sum, x, k) => {
      const term = f(x[i]! * factors[k]![i]!);
      return k === 0 ? term : f(sum + term);
    }, 0);
  }
}
