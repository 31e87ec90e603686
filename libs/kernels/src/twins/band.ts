/** Plain TypeScript twins of assembly/band.ts. */
const MAGNITUDE = 0x7fffffff;

/** Over the float32 bits of one row, in place. */
export function markBand(row: Uint32Array, kept: number, outliers: number): void {
  const keys = [...row].map((bits) => bits & MAGNITUDE);
  const largestFirst = keys.map((_, i) => i).sort((a, b) => keys[b]! - keys[a]! || a - b);
  largestFirst.forEach((index, rank) => {
    row[index] = rank >= outliers && rank < outliers + kept ? 0xffffffff : 0;
  });
}

/** Over float32 bits, in place. */
export function keepMarked(data: Uint32Array, marks: Uint32Array): number {
  let kept = 0;
  for (let i = 0; i < data.length; i++) {
    if (marks[i] !== 0) kept++;
    else data[i] = 0;
  }
  return kept;
}
