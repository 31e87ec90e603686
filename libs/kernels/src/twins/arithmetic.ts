/** Plain TypeScript twins of assembly/arithmetic.ts. Every operation rounds once to float32. */
const f = Math.fround;

export function subtract(a: Float32Array, b: Float32Array, dst: Float32Array): void {
  for (let i = 0; i < dst.length; i++) dst[i] = a[i]! - b[i]!;
}

export function scale(src: Float32Array, factor: number, dst: Float32Array): void {
  for (let i = 0; i < dst.length; i++) dst[i] = src[i]! * f(factor);
}

export function accumulate(src: Float32Array, factor: number, dst: Float32Array): void {
  for (let i = 0; i < dst.length; i++) dst[i] = dst[i]! + f(src[i]! * f(factor));
}

export function divide(src: Float32Array, divisor: number, dst: Float32Array): void {
  for (let i = 0; i < dst.length; i++) dst[i] = src[i]! / f(divisor);
}

export function addScaled(base: Float32Array, delta: Float32Array, factor: number, dst: Float32Array): void {
  for (let i = 0; i < dst.length; i++) dst[i] = base[i]! + f(delta[i]! * f(factor));
}

/** In place. */
export function limitMagnitude(data: Float32Array, limit: number, least: number): void {
  for (let i = 0; i < data.length; i++) {
    const share = f(f(limit) / Math.max(Math.abs(data[i]!), f(least)));
    if (share < 1) data[i] = data[i]! * share;
  }
}

/** Float64; element i goes to partial sum i mod 4, then (p0 + p1) + (p2 + p3). */
export function sumSquares(src: Float32Array): number {
  const partial = [0, 0, 0, 0];
  for (let i = 0; i < src.length; i++) partial[i % 4]! += src[i]! * src[i]!;
  return partial[0]! + partial[1]! + (partial[2]! + partial[3]!);
}

/** As sumSquares. */
export function dot(a: Float32Array, b: Float32Array): number {
  const partial = [0, 0, 0, 0];
  for (let i = 0; i < a.length; i++) partial[i % 4]! += a[i]! * b[i]!;
  return partial[0]! + partial[1]! + (partial[2]! + partial[3]!);
}

/** As sumSquares. */
export function sumMagnitudes(src: Float32Array): number {
  const partial = [0, 0, 0, 0];
  for (let i = 0; i < src.length; i++) partial[i % 4]! += Math.abs(src[i]!);
  return partial[0]! + partial[1]! + (partial[2]! + partial[3]!);
}
