/** Plain TypeScript twins of assembly/choose.ts. */
const f = Math.fround;

/** Over float32 bits. */
export function keepLarger(best: Uint32Array, candidate: Uint32Array): void {
  for (let i = 0; i < best.length; i++) {
    if ((candidate[i]! & 0x7fffffff) >= (best[i]! & 0x7fffffff)) best[i] = candidate[i]!;
  }
}

export function sumAgreed(deltas: Float32Array[], lambdas: ArrayLike<number>, least: number, dst: Float32Array): void {
  for (let i = 0; i < dst.length; i++) {
    const sum = deltas.slice(1).reduce((all, delta) => f(all + delta[i]!), deltas[0]![i]!);
    const agreed = deltas.filter(
      (delta, k) => Math.abs(delta[i]!) > f(f(lambdas[k]!) * Math.abs(f(sum - delta[i]!))),
    ).length;
    dst[i] = agreed >= least ? sum : 0;
  }
}
