/** Plain TypeScript twin of assembly/overlap.ts. */
const f = Math.fround;

const isMoved = (x: number, epsilon: number) => !(Math.abs(x) <= f(epsilon));

/** By task vector: how many elements it has moved with others, and how many it alone has. */
export function countOverlaps(deltas: Float32Array[], epsilon: number): number[] {
  const counts = deltas.flatMap(() => [0, 0]);
  for (let i = 0; i < deltas[0]!.length; i++) {
    const moved = deltas.flatMap((delta, k) => (isMoved(delta[i]!, epsilon) ? [k] : []));
    for (const k of moved) counts[2 * k + (moved.length > 1 ? 0 : 1)]!++;
  }
  return counts;
}

export function mergeOverlaps(deltas: Float32Array[], factors: Float32Array, epsilon: number, dst: Float32Array): void {
  for (let i = 0; i < dst.length; i++) {
    const moved = deltas.flatMap((delta, k) => (isMoved(delta[i]!, epsilon) ? [k] : []));
    const sum = moved.reduce((total, k) => f(total + deltas[k]![i]!), 0);
    dst[i] = moved.length === 1 ? sum * factors[moved[0]!]! : sum / Math.max(1, moved.length);
  }
}
