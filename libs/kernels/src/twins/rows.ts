/** Plain TypeScript twin of assembly/rows.ts. */
const f = Math.fround;

export function blendEach(inputs: Float32Array[], factors: Float32Array[], dst: Float32Array): void {
  for (let i = 0; i < dst.length; i++) {
    dst[i] = inputs.reduce((sum, x, k) => {
      const term = f(x[i]! * factors[k]![i]!);
      return k === 0 ? term : f(sum + term);
    }, 0);
  }
}
