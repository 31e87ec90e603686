/** Plain TypeScript twin of assembly/elect.ts. */
const f = Math.fround;

export function electMerge(
  deltas: Float32Array[],
  weights: Float32Array,
  dst: Float32Array,
  mean: boolean,
  byCount: boolean,
): number {
  let conflicts = 0;
  for (let i = 0; i < dst.length; i++) {
    const weighted = deltas.map((delta, k) => f(delta[i]! * weights[k]!));
    const sum = weighted.reduce((total, x) => f(total + x), 0);
    let merged = 0;
    let mass = 0;
    const votes = weighted.reduce((total, x) => total + (x > 0 ? 1 : x < 0 ? -1 : 0), 0);
    const isPlus = byCount ? votes >= 0 : sum >= 0;
    const agrees = (x: number) => (isPlus ? x > 0 : x < 0);
    if (weighted.some(agrees) && weighted.some((x) => agrees(-x))) conflicts++;
    weighted.forEach((x, k) => {
      if (agrees(x)) {
        merged = f(merged + x);
        mass = f(mass + Math.abs(weights[k]!));
      }
    });
    if (mean) merged = f(merged / (mass > 0 ? mass : 1));
    dst[i] = Number.isNaN(sum) ? Number.NaN : merged;
  }
  return conflicts;
}

export function electWeighted(deltas: Float32Array[], weights: Float32Array, dst: Float32Array): number {
  let conflicts = 0;
  for (let i = 0; i < dst.length; i++) {
    const sum = deltas.reduce((total, delta) => f(total + delta[i]!), 0);
    const sign = sum >= 0 ? 1 : -1;
    if (deltas.some((delta) => delta[i]! > 0) && deltas.some((delta) => delta[i]! < 0)) conflicts++;
    const products = deltas.map((delta, k) => f((delta[i]! * sign < 0 ? 0 : delta[i]!) * weights[k]!));
    const [merged, mass] = products.reduce(
      ([total, all], x, k) => (x * sign > 0 ? [f(total + x), f(all + weights[k]!)] : [total, all]),
      [0, 0],
    );
    dst[i] = [sum, ...products].some(Number.isNaN) ? Number.NaN : f(merged / (mass > 0 ? mass : 1));
  }
  return conflicts;
}

/** In place. */
export function elect(deltas: Float32Array[]): number {
  let conflicts = 0;
  for (let i = 0; i < deltas[0]!.length; i++) {
    const sum = deltas.reduce((total, delta) => f(total + delta[i]!), 0);
    if (deltas.some((delta) => delta[i]! > 0) && deltas.some((delta) => delta[i]! < 0)) conflicts++;
    for (const delta of deltas) {
      if (sum >= 0 ? delta[i]! < 0 : sum < 0 && delta[i]! > 0) delta[i] = 0;
    }
  }
  return conflicts;
}
