/** Plain TypeScript twins of assembly/select.ts, over float32 bits. */
const MAGNITUDE = 0x7fffffff;

export function countMagnitudes(
  src: Uint32Array,
  low: number,
  high: number,
  shift: number,
  histogram: Uint32Array,
): number {
  let count = 0;
  for (const bits of src) {
    const key = bits & MAGNITUDE;
    if (key >= high) count++;
    else if (key >= low) addKey(key, low, shift, histogram);
  }
  return count;
}

export function addKey(key: number, low: number, shift: number, histogram: Uint32Array): void {
  const bin = (key - low) >>> shift;
  if (shift === 0) {
    histogram[bin]!++;
    return;
  }
  histogram[2 * bin]!++;
  histogram[2 * bin + 1]! |= (key - low) % 2 ** shift;
}

export function countEqual(src: Uint32Array, key: number): number {
  let count = 0;
  for (const bits of src) if ((bits & MAGNITUDE) === key) count++;
  return count;
}

export function findEqual(src: Uint32Array, key: number, nth: number): number {
  let seen = 0;
  for (let i = 0; i < src.length; i++) {
    if ((src[i]! & MAGNITUDE) === key && ++seen === nth) return i + 1;
  }
  return -1;
}

/** Returns how many are kept. */
export function keepBand(data: Uint32Array, inner: number, outer: number): number {
  let kept = 0;
  for (let i = 0; i < data.length; i++) {
    const key = data[i]! & MAGNITUDE;
    if (key > inner && key <= outer) kept++;
    else data[i] = 0;
  }
  return kept;
}
