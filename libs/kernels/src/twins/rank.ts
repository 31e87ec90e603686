/** Plain TypeScript twins of assembly/rank.ts, over one row. */
const MAGNITUDE = 0x7fffffff;

function keysOf(row: Float32Array): number[] {
  return [...new Uint32Array(row.buffer, row.byteOffset, row.length)].map((bits) => bits & MAGNITUDE);
}

/** In place. */
export function rankProbabilities(row: Float32Array, low: number, high: number): void {
  const keys = keysOf(row);
  const steps = 2 * (row.length - 1);
  keys.forEach((key, i) => {
    const below = keys.filter((other) => other < key).length;
    const upTo = keys.filter((other) => other <= key).length;
    const share = row.length === 1 ? 0.5 : (below + upTo - 1) / steps;
    row[i] = low + (high - low) * share;
  });
}
